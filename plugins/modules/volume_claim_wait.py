#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Wait until a claim has its volume, and say why it has none."""

DOCUMENTATION = r"""
module: volume_claim_wait
short_description: Wait until a claim has its volume
version_added: 0.1.0
description:
  - Waits until a PersistentVolumeClaim is bound. A storage class whose provisioner never answers would let a pod wait
    for its volume for ever, with no other sign than an event.
  - The error names the claim, its storage class, and what the provisioner said.
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode: {description: Does not wait., support: full}
options:
  namespace:
    description: The namespace of the claim.
    type: str
    required: true
  name:
    description: The name of the claim.
    type: str
    required: true
  timeout:
    description: How many seconds to wait at most.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Wait for the volume
  cloud_django.kubernetes.volume_claim_wait:
    namespace: polls
    name: polls-postgresql
"""

RETURN = r"""
volume:
  description: The name of the volume; empty in check mode if there is none.
  returned: success
  type: str
"""

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import main_of, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.readiness import volume_of

OPTIONS = options_of(DOCUMENTATION)
main = main_of(OPTIONS, volume_of)

if __name__ == "__main__":
    main()
