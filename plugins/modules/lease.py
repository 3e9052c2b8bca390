#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Acquire the Lease of a namespace, so that only one run at a time changes it."""

DOCUMENTATION = r"""
module: lease
short_description: Acquire a Lease so that only one run at a time changes a namespace
version_added: 0.1.0
description:
  - Acquires a Lease, which only one run at a time can hold. If another run holds it, waits, and fails after O(wait).
  - A background process renews the Lease while the playbook runs, and removes it when the playbook ends for any reason.
    If the control node fails, the Lease expires after 30 seconds.
  - If the Lease expires because the run could not renew it, and another run acquires it, the first run is terminated.
  - If the task runs outside of the playbook's process, for instance on another host, it waits for other runs, but holds
    no Lease.
  - Never reports a change, because the Lease is temporary.
options:
  namespace:
    description:
      - Namespace of the Lease, which the run changes.
      - If it does not exist, no Lease is acquired.
    type: str
    required: true
  name:
    description: Name of the Lease.
    type: str
    required: true
  labels:
    description: Labels of the Lease.
    type: dict
    default: {}
  wait:
    description:
      - Seconds to wait for another run.
      - Below 30, the Lease of a run on a lost control node blocks other runs until it is 15 minutes old.
    type: int
    default: 60
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode: {description: "Acquires no Lease, because the run makes no changes.", support: full}
notes:
  - Requires the verbs C(create), C(delete), C(get), and C(patch) on leases.
"""

EXAMPLES = r"""
- name: Acquire the site Lease
  cloud_django.kubernetes.lease:
    namespace: polls
    name: polls-run
"""

RETURN = r"""
held:
  description: Whether this run holds the Lease.
  type: bool
  returned: success
  sample: true
waited:
  description: Whether another run held the Lease before, so that its changes may have outdated earlier results.
  type: bool
  returned: success
  sample: false
holder:
  description: Name of this run in the Lease.
  type: str
  returned: success
  sample: me@laptop (process 4711, started 2026-01-31 12:00:00 UTC)
"""

import os
from collections.abc import Callable
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import lease
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client, connect
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import conclude, k8s_module, options_of

OPTIONS = options_of(DOCUMENTATION)


def main(hold: Callable[[Callable[[], Client], lease.Wanted, int, float], str] | None = None, process: int = 0) -> None:
    """Run the module. The action plugin passes a function that holds the Lease for the playbook's process."""
    module = k8s_module(OPTIONS)
    wanted = lease.Wanted(module.params["name"], lease.holder_of(process or os.getpid()), module.params["labels"])

    def work() -> dict[str, Any]:
        outcome, patience = "none", module.params["wait"]
        if hold and not module.check_mode:
            outcome = hold(lambda: connect(module), wanted, process, patience)
        elif not module.check_mode:
            outcome = lease.take(client := connect(module), wanted, patience)
            if outcome in lease.TAKEN:
                lease.release(client, wanted)
                module.warn(
                    "No Lease is held, because the task runs outside of the playbook's process. Other runs can start "
                    "at the same time."
                )
        held = outcome != "none" and hold is not None
        return {"held": held, "waited": outcome == "waited", "holder": wanted.holder}

    conclude(module, work)


if __name__ == "__main__":
    main()
