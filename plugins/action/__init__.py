# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Action plugins. Ansible imports this package in the process of the playbook while it reads the tasks.

Action plugins of plugin_routing are loaded later, in the process of each task. That is too late for imports that all
tasks share.
"""

from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.preload import preload

preload()
