# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Load in the process of the playbook what each of its tasks would load again in a process of its own.

A task is a fork, and has what its parent has. By itself Ansible loads filters where a template first needs them, which
is in a task: 30 ms each time, in almost every task.
"""

from __future__ import annotations

import gc
from contextlib import suppress

from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.templates import share_templates

# Of the filters and lookups, those that are used by most tasks. One name stands for all of its file.
COLLECTION_FILTERS = (
    "cloud_django.kubernetes.pinned_kubeconfig",
    "cloud_django.kubernetes.quantity",
    "cloud_django.kubernetes.web_connections",
    "to_json",
)
LOOKUPS = (
    "ansible.builtin.env",
    "ansible.builtin.file",
    "cloud_django.kubernetes.image_tag",
    "cloud_django.kubernetes.role_variable",
)


def preload() -> None:
    """Load the modules that speak to Kubernetes, and the filters and tests of templates."""
    # A missing or broken library is reported by the module that needs it.
    with suppress(Exception):
        from ansible_collections.cloud_django.kubernetes.plugins.modules import (  # noqa: F401 - for the tasks
            apply,
            postgresql_credentials,
            rollout,
        )
        from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils import direct  # noqa: F401 - for the tasks
        from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client  # noqa: F401 - for the tasks
    # The loaders are no public interface: without them each task loads what it needs.
    with suppress(Exception):
        from ansible.plugins.loader import connection_loader, filter_loader, lookup_loader, shell_loader, test_loader

        for loader in (filter_loader, test_loader):
            list(loader.all())
        for name in COLLECTION_FILTERS:
            filter_loader.get(name)
        for name in LOOKUPS:
            lookup_loader.get(name, class_only=True)
        connection_loader.get("ansible.builtin.local", class_only=True)
        shell_loader.get("sh", class_only=True)
    # An ansible-core with other private names compiles its templates itself.
    with suppress(Exception):
        share_templates()
    # What is here now stays: a task that would search it for garbage would first have to copy it all.
    gc.freeze()
