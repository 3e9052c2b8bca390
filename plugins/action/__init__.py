# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Action plugins. Ansible imports this package in the process of the playbook, while it reads the tasks.

It loads an action plugin that plugin_routing names later, in the process of each task: too late to load once what all
of them need.
"""

from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.preload import preload

preload()
