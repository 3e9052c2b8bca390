# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""What modules have in common: options as their documentation describes them, a connection, work, and an exit."""

import copy
import logging
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import CloudDjangoError

# What the documentation of an option and its argument have in common.
SHARED_KEYS = ("type", "elements", "choices", "required", "default")


def options_of(documentation: str, **no_log: bool) -> dict[str, Any]:
    """Return the argument spec of the options that a module's documentation describes.

    Args:
        no_log: by the name of an option, at any depth, whether its value is secret.
    """
    # The loader in C is faster by far, but not everywhere.
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
    """Return an AnsibleK8SModule that has these options and those of the connection.

    Args:
        rules: about several options, as AnsibleModule takes them.
    """
    # Here, since modules without a connection, and the tests of the floor, do without.
    from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

    # The client's own warnings about retries would end up in the task's output.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    return AnsibleK8SModule(argument_spec=copy.deepcopy(AUTH_ARG_SPEC) | options, supports_check_mode=True, **rules)


def conclude(module: Any, work: Callable[[], Mapping[str, Any]]) -> None:
    """Exit with what `work` returns, by default as unchanged, or with the error that it raises."""
    try:
        result = work()
    except CloudDjangoError as error:
        module.fail_json(changed=False, msg=str(error), **error.facts)
    module.exit_json(**{"changed": False} | result)


def main_of(options: Mapping[str, Any], work: Callable[..., Mapping[str, Any]], **rules: Any) -> Callable[[], None]:
    """Return the function `main` of a module that does its work with the options, check mode and a client."""

    def main() -> None:
        from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import connect

        module = k8s_module(options, **rules)
        conclude(module, lambda: work(module.params, module.check_mode, connect(module)))

    return main
