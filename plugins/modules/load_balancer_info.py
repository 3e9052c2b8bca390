#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Wait for the load balancer address of a Service."""

DOCUMENTATION = r"""
module: load_balancer_info
short_description: Wait for the load balancer address of a Service
version_added: 0.1.0
description:
  - Waits until the Service has a load balancer address, and returns the address.
  - Fails after 30 seconds if no controller manages the Service by then, and otherwise at the timeout.
  - The error has the last event about the Service.
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode: {description: The module is read-only and does not wait., support: full}
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
    description: Maximum number of seconds to wait.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Wait for the load balancer address of the site
  cloud_django.kubernetes.load_balancer_info:
    namespace: polls
    name: polls-web
"""

RETURN = r"""
address:
  description: Host name or IP address. Empty without the Service, and in check mode without an address.
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
