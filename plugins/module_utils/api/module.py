# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""What every module does that speaks to a cluster: read its options, connect, work, and exit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client, connect
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import CloudDjangoError


def run_module(
    argument_spec: dict[str, Any], work: Callable[[dict[str, Any], bool, Client], dict[str, Any]], **rules: Any
) -> None:
    """Exit with what `work` returns for the options, check mode and a client, or with the error that it raises.

    Args:
        argument_spec: of the module's own options; those of the connection are added.
        rules: about several options, as AnsibleModule takes them.
    """
    # Here, since the rest of the floor, and its tests, do without.
    from ansible_collections.kubernetes.core.plugins.module_utils.ansiblemodule import AnsibleModule
    from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

    spec = copy.deepcopy(AUTH_ARG_SPEC) | argument_spec
    module = AnsibleK8SModule(module_class=AnsibleModule, argument_spec=spec, supports_check_mode=True, **rules)
    try:
        result = work(module.params, module.check_mode, connect(module))
    except CloudDjangoError as error:
        module.fail_json(changed=False, msg=str(error))
    module.exit_json(**{"changed": False} | result)
