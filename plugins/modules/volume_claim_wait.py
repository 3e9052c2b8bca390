#!/usr/bin/python
# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Wait until a claim has its volume, and say why it has none."""

from __future__ import annotations

DOCUMENTATION = r"""
module: volume_claim_wait
short_description: Wait until a claim has its volume
version_added: 0.1.0
author:
  - The Cloud Django authors (@cloud-django)
description:
  - Waits until a PersistentVolumeClaim is bound. A storage class whose provisioner never answers would let a pod wait
    for its volume for ever, with no other sign than an event.
  - The error names the claim, its storage class, and what the provisioner said.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - cloud_django.kubernetes.connection
attributes:
  check_mode:
    description: Does not wait.
    support: full
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
    kubeconfig: ~/.kube/config
    context: minikube
    namespace: polls
    name: polls-postgresql
"""

RETURN = r"""
volume:
  description: The name of the volume; empty in check mode if there is none.
  returned: success
  type: str
"""

import copy
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import connect
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import CloudDjangoError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.volumes import wait_until_bound
from ansible_collections.kubernetes.core.plugins.module_utils.ansiblemodule import AnsibleModule
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule


def argument_spec() -> dict[str, Any]:
    return copy.deepcopy(AUTH_ARG_SPEC) | {
        "namespace": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "timeout": {"type": "int", "default": 60},
    }


def main() -> None:
    module = AnsibleK8SModule(module_class=AnsibleModule, argument_spec=argument_spec(), supports_check_mode=True)
    name = module.params["name"]
    try:
        client = connect(module)
        if module.check_mode:
            claim = client.get("PersistentVolumeClaim", name) or {"spec": {}}
            volume = claim["spec"].get("volumeName", "")
        else:
            volume = wait_until_bound(client, name, module.params["timeout"])
    except CloudDjangoError as error:
        module.fail_json(changed=False, msg=str(error))
    module.exit_json(changed=False, volume=volume)


if __name__ == "__main__":
    main()
