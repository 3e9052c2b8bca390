#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Let one run at a time change a namespace."""

DOCUMENTATION = r"""
module: lease
short_description: Let one run at a time change a namespace
version_added: 0.1.0
description:
  - Takes a Lease, which another run cannot have at the same time. If another one has it, waits, and then fails.
  - A process in the background renews the Lease as long as the playbook runs, and removes it when that ends, however
    it ends. If it cannot do so any more, for instance because the machine is off, the Lease counts for 30 seconds.
  - A run that loses its Lease, since it could not renew it for so long and another took it, is ended.
  - Where the task runs outside of the playbook's process, for instance on another machine, the Lease of others is
    respected, and none is kept.
  - It is never a change, since nothing of it is left.
options:
  namespace:
    description:
      - Namespace that the run is going to change, and that the Lease is in.
      - If it does not exist there is nothing to protect yet.
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
      - With fewer than 30 the Lease of a run whose machine has gone is waited for in vain, until it is a quarter of an
        hour old.
    type: int
    default: 60
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode: {description: "It does nothing, since a run that changes nothing is in nobody's way.", support: full}
notes:
  - A user needs the verbs C(create), C(delete), C(get) and C(patch) on leases.
"""

EXAMPLES = r"""
- name: Keep other runs out
  cloud_django.kubernetes.lease:
    namespace: polls
    name: polls-run
"""

RETURN = r"""
held:
  description: Whether this run has the Lease.
  type: bool
  returned: success
  sample: true
waited:
  description: Whether another run had it first, and may have changed what was inspected before.
  type: bool
  returned: success
  sample: false
holder:
  description: How this run is called in it.
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
    """Run the module. The action plugin gives a function that holds the Lease for the playbook's process."""
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
                module.warn("This run keeps no others out, since its tasks do not run in the process of the playbook.")
        held = outcome != "none" and hold is not None
        return {"held": held, "waited": outcome == "waited", "holder": wanted.holder}

    conclude(module, work)


if __name__ == "__main__":
    main()
