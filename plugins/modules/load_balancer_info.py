#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Wait for the address of a load balancer."""

DOCUMENTATION = r"""
module: load_balancer_info
short_description: Wait for the address that a load balancer gives to a Service
version_added: 0.1.0
description:
  - Waits until the Service has the address of a load balancer, and returns that.
  - Fails after 30 seconds if no controller has taken up the Service by then, else at the timeout, with the last event.
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode: {description: It only reads. It does not wait., support: full}
options:
  namespace:
    description: Namespace of the Service.
    type: str
    required: true
  name:
    description: Name of the Service.
    type: str
    required: true
  timeout:
    description: How many seconds to wait at most.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Wait for the address of the site
  cloud_django.kubernetes.load_balancer_info:
    namespace: polls
    name: polls-web
"""

RETURN = r"""
address:
  description: The host name or IP address. Empty if the Service does not exist, and in check mode if there is none yet.
  type: str
  returned: success
  sample: 192.0.2.10
"""

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import main_of, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.balancer import run

OPTIONS = options_of(DOCUMENTATION)
main = main_of(OPTIONS, run)

if __name__ == "__main__":
    main()
