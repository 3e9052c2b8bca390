# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Load modules and plugins in the process of the playbook, so that its tasks don't load them again.

Tasks are forks and inherit what their parent has loaded. By default, Ansible loads filters when a template first uses
them, in almost every task, which takes 30 ms each time.
"""

import gc
import inspect
import ssl
from contextlib import suppress
from functools import partial
from types import SimpleNamespace

import jinja2
import yaml
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.bytecode import store_bytecode
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.template_store import share_stored_templates
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.variables import (
    copy_no_strings,
    share_lazy_values,
    tag_no_variables,
)

# Filters and lookups that most tasks use. One name loads all plugins of its file.
COLLECTION_FILTERS = (
    "cloud_django.kubernetes.cluster_name",
    "cloud_django.kubernetes.only",
    "cloud_django.kubernetes.pinned_kubeconfig",
    "cloud_django.kubernetes.process_connections",
    "cloud_django.kubernetes.project_containers",
    "cloud_django.kubernetes.project_values",
    "cloud_django.kubernetes.quantity",
    "cloud_django.kubernetes.web_connections",
    "to_json",
)
LOOKUPS = (
    "ansible.builtin.env",
    "ansible.builtin.file",
    "cloud_django.kubernetes.image_tag",
    "cloud_django.kubernetes.once",
    "cloud_django.kubernetes.role_variable",
)


def add_jinja_plugins() -> None:
    """Add Jinja's filters and tests to the loaders, which would otherwise search all files of Ansible for each of them.

    Raises an error, and restores the loaders, if this version of ansible-core is not supported.
    """
    from ansible._internal._templating import _jinja_bits
    from ansible.plugins.loader import filter_loader, test_loader

    for loader, own in ((filter_loader, _jinja_bits._BUILTIN_FILTERS), (test_loader, _jinja_bits._BUILTIN_TESTS)):
        found = dict(loader._cached_non_collection_wrappers)
        added = {name: plugin for name, plugin in own.items() if name not in found}
        for plugin in added.values():
            # Some are built-in functions of Python and have no file.
            plugin._original_path = plugin._original_path or jinja2.__file__
        loader._cached_non_collection_wrappers = found | added
        try:
            if any(loader.get(name) is not plugin for name, plugin in added.items()):
                raise RuntimeError("The loader returned other plugins.")
        except BaseException:
            loader._cached_non_collection_wrappers = found
            raise


def read_kubeconfigs_in_c() -> None:
    """Let the Kubernetes client parse a kubeconfig with libyaml, which takes a tenth of the time, in each task."""
    from kubernetes.config import kube_config

    if hasattr(yaml, "CSafeLoader"):
        kube_config.yaml = SimpleNamespace(**vars(yaml) | {"safe_load": partial(yaml.load, Loader=yaml.CSafeLoader)})


def read_no_source_of_callers() -> None:
    """Let Ansible find the caller of a deprecated function, as in each skipped task, without reading source files.

    Raises an error if this version of ansible-core is not supported.
    """
    from ansible.module_utils._internal import _stack

    found = _stack._inspect
    _stack._inspect = SimpleNamespace(stack=partial(inspect.stack, 0))
    try:
        caller = _stack.caller_frame()
        if (caller.filename, caller.function) != (__file__, read_no_source_of_callers.__name__):
            raise RuntimeError("Ansible found other callers.")
    except BaseException:
        _stack._inspect = found
        raise


def prepare_tls() -> None:
    """Let OpenSSL read its configuration, which it otherwise does in each task."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def preload() -> None:
    """Load the modules that connect to Kubernetes, and the filters and tests of templates."""
    store_bytecode()
    # The module that needs a missing or broken library reports the error.
    with suppress(Exception):
        from ansible_collections.cloud_django.kubernetes.plugins.action import direct  # noqa: F401 - for the tasks
        from ansible_collections.cloud_django.kubernetes.plugins.modules import (  # noqa: F401 - for the tasks
            apply,
            cache_credentials,
            postgresql_credentials,
            rollout,
        )
        from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client  # noqa: F401 - for the tasks
    # Errors are ignored, because loaders are not a public interface. Each task then loads its own plugins.
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
    # All use private names of ansible-core. If one fails, ansible-core does that part as usual.
    for prepare in (
        add_jinja_plugins,
        read_kubeconfigs_in_c,
        read_no_source_of_callers,
        prepare_tls,
        share_stored_templates,
        share_lazy_values,
        tag_no_variables,
        copy_no_strings,
    ):
        with suppress(Exception):
            prepare()
    # Otherwise the garbage collector of each task would touch, and so copy, all of this memory.
    gc.freeze()
    # A task ends soon, and the main process keeps most objects until its end.
    gc.set_threshold(100_000, 20, 100)
