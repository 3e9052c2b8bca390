#!/usr/bin/python
# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Wait until a claim has its volume, and say why it has none."""

from __future__ import annotations

DOCUMENTATION = r"""
module: volume_claim_wait
short_description: Wait until a claim has its volume
version_added: 0.1.0
author:
  - The Cloud Django authors (@cloud-django)
description:
  - Waits until a PersistentVolumeClaim is bound. A storage class whose provisioner never answers would let a pod wait
    for its volume for ever, with no other sign than an event.
  - The error names the claim, its storage class, and what the provisioner said.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - cloud_django.kubernetes.connection
attributes:
  check_mode:
    description: Does not wait.
    support: full
options:
  namespace:
    description: The namespace of the claim.
    type: str
    required: true
  name:
    description: The name of the claim.
    type: str
    required: true
  timeout:
    description: How many seconds to wait at most.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Wait for the volume
  cloud_django.kubernetes.volume_claim_wait:
    kubeconfig: ~/.kube/config
    context: minikube
    namespace: polls
    name: polls-postgresql
"""

RETURN = r"""
volume:
  description: The name of the volume; empty in check mode if there is none.
  returned: success
  type: str
"""

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.cluster_api import (
    Cluster,
    Trouble,
    connect,
    short,
)
from ansible_collections.kubernetes.core.plugins.module_utils.ansiblemodule import AnsibleModule
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

POLL_SECONDS = 0.25


def complaint(name: str, claim: dict[str, Any], events: Sequence[dict[str, Any]], seconds: float) -> str:
    """Return the sentence for a claim that has no volume."""
    # A warning says more than the controller's remark that it waits.
    told = [event for event in events if event.get("type") == "Warning"] or list(events)
    reason = short(told[-1].get("message")) if told else "nothing tells why"
    kind = claim["spec"].get("storageClassName") or "none"
    return (
        f"Claim {name} has no volume after {seconds:g} s, and its storage class is {kind}: {reason}. "
        "Mend the class's provisioner or set another class, remove the claim, then run the playbook again."
    )


def wait(cluster: Cluster, name: str, timeout: float, sleep: Callable[[float], None] = time.sleep) -> str:
    """Return the name of the claim's volume as soon as there is one. Raises Trouble."""
    until = time.monotonic() + timeout
    while True:
        claim = cluster.get("PersistentVolumeClaim", name)
        if claim is None:
            raise Trouble(f"Claim {name} in namespace {cluster.namespace} does not exist. Run the playbook again.")
        phase = claim.get("status", {}).get("phase")
        if phase == "Bound":
            return claim["spec"]["volumeName"]
        if phase == "Lost":
            raise Trouble(
                f"Volume {claim['spec'].get('volumeName')} of claim {name} was removed behind its back. Restore it, "
                "or remove the claim to begin with an empty one, then run the playbook again."
            )
        if time.monotonic() >= until:
            raise Trouble(complaint(name, claim, cluster.events("PersistentVolumeClaim", name), timeout))
        sleep(POLL_SECONDS)


def argument_spec() -> dict[str, Any]:
    return copy.deepcopy(AUTH_ARG_SPEC) | {
        "namespace": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "timeout": {"type": "int", "default": 60},
    }


def main() -> None:
    module = AnsibleK8SModule(module_class=AnsibleModule, argument_spec=argument_spec(), supports_check_mode=True)
    try:
        cluster = connect(module)
        if module.check_mode:
            claim = cluster.get("PersistentVolumeClaim", module.params["name"]) or {"spec": {}}
            module.exit_json(changed=False, volume=claim["spec"].get("volumeName", ""))
        volume = wait(cluster, module.params["name"], module.params["timeout"])
    except Trouble as trouble:
        module.fail_json(changed=False, msg=str(trouble))
    module.exit_json(changed=False, volume=volume)


if __name__ == "__main__":
    main()
