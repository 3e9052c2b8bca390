# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Load in the process of the playbook what each of its tasks would load again in a process of its own.

A task is a fork, and has what its parent has. By itself Ansible loads filters where a template first needs them, which
is in a task: 30 ms each time, in almost every task.
"""

import gc
from contextlib import suppress

import jinja2
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


def add_jinja_plugins() -> None:
    """Have the loaders know Jinja's own filters and tests, for each of which they would search all files of Ansible's.

    Raises if this ansible-core is not known here, and leaves its loaders as they were.
    """
    from ansible._internal._templating import _jinja_bits
    from ansible.plugins.loader import filter_loader, test_loader

    for loader, own in ((filter_loader, _jinja_bits._BUILTIN_FILTERS), (test_loader, _jinja_bits._BUILTIN_TESTS)):
        found = dict(loader._cached_non_collection_wrappers)
        added = {name: plugin for name, plugin in own.items() if name not in found}
        for plugin in added.values():
            # Some are functions of Python, without a file.
            plugin._original_path = plugin._original_path or jinja2.__file__
        loader._cached_non_collection_wrappers = found | added
        try:
            if any(loader.get(name) is not plugin for name, plugin in added.items()):
                raise RuntimeError("The loader has other plugins.")
        except BaseException:
            loader._cached_non_collection_wrappers = found
            raise


def preload() -> None:
    """Load the modules that speak to Kubernetes, and the filters and tests of templates."""
    # A missing or broken library is reported by the module that needs it.
    with suppress(Exception):
        from ansible_collections.cloud_django.kubernetes.plugins.action import direct  # noqa: F401 - for the tasks
        from ansible_collections.cloud_django.kubernetes.plugins.modules import (  # noqa: F401 - for the tasks
            apply,
            postgresql_credentials,
            rollout,
        )
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
    # With other private names than these two know, ansible-core finds its plugins and compiles its templates itself.
    for prepare in (add_jinja_plugins, share_templates):
        with suppress(Exception):
            prepare()
    # What is here now stays: a task that would search it for garbage would first have to copy it all.
    gc.freeze()
