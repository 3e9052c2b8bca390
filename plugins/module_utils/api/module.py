# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Shared parts of modules: argument specs from their documentation, the connection, and the exit."""

import copy
import logging
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import CloudDjangoError

# Keys that the documentation and the argument spec of an option share.
SHARED_KEYS = ("type", "elements", "choices", "required", "default")


def options_of(documentation: str, **no_log: bool) -> dict[str, Any]:
    """Return the argument spec from a module's documentation.

    Args:
        no_log: whether an option, at any depth, is secret, by name.
    """
    # The loader in C is much faster, but not installed everywhere.
    return specified(yaml.load(documentation, getattr(yaml, "CSafeLoader", yaml.SafeLoader))["options"], no_log)


def specified(documented: Mapping[str, Any], no_log: Mapping[str, bool]) -> dict[str, Any]:
    """Return the argument spec of documented options."""
    spec = {}
    for name, option in documented.items():
        spec[name] = {key: option[key] for key in SHARED_KEYS if key in option}
        if name in no_log:
            spec[name]["no_log"] = no_log[name]
        if "suboptions" in option:
            spec[name]["options"] = specified(option["suboptions"], no_log)
    return spec


def k8s_module(options: Mapping[str, Any], **rules: Any) -> Any:
    """Return an AnsibleK8SModule with these options and those of the connection.

    Args:
        rules: rules for several options, as arguments of AnsibleModule.
    """
    # Imported here, because modules without a connection, and some tests, run without kubernetes.core.
    from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

    # Otherwise the client's warnings about retries would appear in the task's output.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    return AnsibleK8SModule(argument_spec=copy.deepcopy(AUTH_ARG_SPEC) | options, supports_check_mode=True, **rules)


def conclude(module: Any, work: Callable[[], Mapping[str, Any]]) -> None:
    """Exit with the result of `work`, by default unchanged, or with its error."""
    try:
        result = work()
    except CloudDjangoError as error:
        module.fail_json(changed=False, msg=str(error), **error.facts)
    module.exit_json(**{"changed": False} | result)


def main_of(options: Mapping[str, Any], work: Callable[..., Mapping[str, Any]], **rules: Any) -> Callable[[], None]:
    """Return the function `main` of a module; `work` gets the options, the check mode, and a client."""

    def main() -> None:
        from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import connect

        module = k8s_module(options, **rules)
        conclude(module, lambda: work(module.params, module.check_mode, connect(module)))

    return main
