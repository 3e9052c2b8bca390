# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Import what most modules need once, in the process of the playbook.

Ansible imports this package while it reads the tasks. It loads an action plugin that plugin_routing names later, in the
process of each task. Without this import, each of these processes would load the Kubernetes client again (0.25 s).
"""

from __future__ import annotations

from contextlib import suppress

# A missing library is reported by the module that needs it.
with suppress(ImportError):
    from ansible_collections.cloud_django.kubernetes.plugins.modules import apply, rollout  # noqa: F401
    from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils import direct  # noqa: F401
