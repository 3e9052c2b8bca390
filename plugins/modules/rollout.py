#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Wait until workloads are really rolled out, and fail as soon as one of them cannot be."""

DOCUMENTATION = r"""
module: rollout
short_description: Wait until Kubernetes workloads are really rolled out
version_added: 0.1.0
description:
  - Watches the Kubernetes API, instead of polling it, until each of the named workloads is really done. For a
    Deployment that means every replica is updated and available and no replica of an earlier revision is left, for a
    Job that it is complete.
  - Fails at once, and not at the timeout, on what cannot get better by itself. That is an image that cannot be pulled,
    a container that keeps crashing, a missing Secret or ConfigMap, a quota or an admission rule that refuses the pods,
    a pod that fits on no node and for which no autoscaler makes room, a claim that is being deleted or gets no volume,
    a Job that has failed, a deadline that was exceeded, a Deployment that is paused.
  - Prints every eight seconds what it waits for, if it runs in the process of its task.
  - The error says which thing is stuck, why, and what to do next, followed by the last events and the last lines of the
    log. The values of Secrets that the pods refer to are masked in it, but for those whose key says that they are none,
    such as C(username), C(host) and C(tls.crt).
  - Only pods of the current revision are judged. What a broken earlier revision does is ignored, except that an ordered
    StatefulSet whose earlier pod is broken is reported, since it can replace none of its pods.
requirements:
  - PyYAML >= 3.11
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode:
    description: Never waits and never fails for the sake of a workload, but tells its present state.
    support: full
  diff_mode: {description: Shows what would change., support: none}
notes:
  - A container without a readiness probe counts as available as soon as it has started. Give it a probe, or its
    workload C(minReadySeconds), or else one that crashes a moment later is taken for done.
  - Changes nothing in the cluster. It needs the verbs C(list) and C(watch) on the workloads, on Pods, and for a
    Deployment on ReplicaSets. Events, ResourceQuotas, ControllerRevisions, PersistentVolumeClaims, Secrets, ConfigMaps
    and logs are read where that is allowed.
options:
  namespace:
    description: The namespace of the workloads.
    type: str
    required: true
  workloads:
    description: The workloads to wait for, all at the same time. An empty list is done at once.
    type: list
    elements: dict
    required: true
    suboptions:
      kind:
        description: The kind of the workload.
        type: str
        required: true
        choices: [Deployment, StatefulSet, DaemonSet, Job]
      name:
        description: The name of the workload.
        type: str
        required: true
  timeout:
    description: How many seconds to wait at most. V(0) judges once.
    type: int
    default: 600
  grace:
    description:
      - For how many seconds a problem that could mend itself may last before it counts as hopeless, such as a missing
        Secret or a quota that refuses the pods.
    type: int
    default: 5
  volume_timeout:
    description: For how many seconds a claim of a StatefulSet's pod may have no volume until it counts as hopeless.
    type: int
    default: 60
  log_lines:
    description: How many of the last lines of the broken container's log to show. V(0) shows none.
    type: int
    default: 20
  mask:
    description:
      - Further values to mask in messages, events and logs, in clear, in base64 and quoted for URLs. Ansible itself
        masks their clear form in everything that is returned.
    type: list
    elements: str
    default: []
seealso:
  - module: kubernetes.core.k8s
  - name: Deployments
    description: What the status of a Deployment means.
    link: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
"""

EXAMPLES = r"""
- name: Wait for the site and its cache
  cloud_django.kubernetes.rollout:
    namespace: polls
    workloads:
      - kind: Deployment
        name: polls-web
      - kind: Deployment
        name: polls-cache

- name: Wait for a migration of many rows, and show more of its log if it fails
  cloud_django.kubernetes.rollout:
    namespace: polls
    workloads:
      - kind: Job
        name: polls-migrate-3f9c2a1b
    timeout: 3600
    log_lines: 100
"""

RETURN = r"""
seconds:
  description: How long it waited, in seconds.
  returned: always, once the API was reached
  type: float
  sample: 12.4
workloads:
  description:
    - What became of each workload, which has its C(kind) and C(name).
    - The C(state), one of V(done), V(waiting), V(failed), and V(missing) if it does not exist, and the C(reason), which
      is what it waits for or why it failed; empty when it is done.
    - How many C(replicas) it is to have. For a Job, how many pods are active or have succeeded.
    - The C(images) that its pod template names, and the different C(image_ids) that its pods of the current revision
      really run.
    - The C(pods), each running or succeeded one of the current revision, with its C(node) and the image ID of each
      container.
  returned: always, once the API was reached
  type: list
  elements: dict
  sample:
    - kind: Deployment
      name: polls-web
      state: done
      reason: ""
      replicas: 1
      images: [localhost/cloud-django/polls:3f9c2a1b]
      image_ids: ["sha256:9f0e5a0bd1c2"]
      pods:
        - name: polls-web-7d9f8c6b5-x2x4v
          node: polls-control-plane
          image_ids:
            web: sha256:9f0e5a0bd1c2
reason:
  description:
    - Why it failed, in one word of the Kubernetes API such as V(ImagePullBackOff), V(CrashLoopBackOff),
      V(FailedCreate), V(FailedMount) or V(BackoffLimitExceeded), or one of V(Timeout), V(NotFound), V(Deleting),
      V(Paused), V(Suspended), V(Blocked), V(Unschedulable), V(ClaimDeleting), V(ClaimMissing), V(ClaimLost) and
      V(ClaimPending).
  returned: failure
  type: str
  sample: ImagePullBackOff
events:
  description: The last warnings about the workload that failed and its pods, oldest first.
  returned: failure
  type: list
  elements: str
  sample:
    - "Failed Pod/polls-web-7d9f8c6b5-x2x4v: Error: ErrImagePull"
log:
  description: The last lines that the broken container wrote, before it crashed if it did.
  returned: failure
  type: list
  elements: str
"""

import os
from collections.abc import Callable
from typing import NoReturn

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import connection
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client, connect
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import conclude, k8s_module, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import report
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.model import Failed
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.watch import Rollout
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

OPTIONS = options_of(DOCUMENTATION, mask=True)


def run(module: AnsibleK8SModule, connect: Callable[[AnsibleK8SModule], Client] = connect) -> NoReturn:
    """Do what the options ask for, and end the module."""
    params = module.params
    connection.required_connection(params, dict(os.environ))
    workloads = [(w["kind"], w["name"]) for w in params["workloads"]]
    if not workloads:
        module.exit_json(changed=False, msg="There is nothing to wait for.", seconds=0.0, workloads=[])
    with connection.explained(params):
        rollout = Rollout(connect(module), workloads, params["grace"], params["volume_timeout"], warn=module.warn)
        rollout.load()
    extra = params["mask"] or []
    if module.check_mode:
        rollout.judge()
        answers = report.told(rollout, report.veil(rollout, extra))
        module.exit_json(changed=False, msg=report.plan(answers, params["namespace"]), seconds=0.0, workloads=answers)
    if not rollout.wait(params["timeout"], lambda: report.outlook(rollout, extra)) or rollout.of(Failed):
        module.fail_json(changed=False, **report.failure(rollout, params["timeout"], params["log_lines"], extra))
    module.exit_json(changed=False, seconds=round(rollout.seconds, 1), workloads=report.told(rollout, report.Veil()))


def main() -> None:
    module = k8s_module(OPTIONS)
    conclude(module, lambda: run(module))


if __name__ == "__main__":
    main()
