# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Action plugin of the module lease, which holds the Lease for the process of the playbook."""

import functools
import multiprocessing
from collections.abc import Callable
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.action import direct
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.lease_keeper import hold


class ActionModule(direct.ActionModule):
    """The controller's side of the module."""

    def _main(self, module: Any) -> Callable[[], None]:
        """Return the module's function `main` with arguments to hold the Lease for the parent process, the playbook."""
        # Not os.getppid(), which returns another process after the playbook has ended.
        parent = multiprocessing.parent_process()
        return functools.partial(module.main, hold, parent.pid) if parent else module.main
