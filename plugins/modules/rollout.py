#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Wait until workloads are rolled out, and fail as soon as one of them cannot be."""

DOCUMENTATION = r"""
module: rollout
short_description: Wait until Kubernetes workloads are rolled out
version_added: 0.1.0
description:
  - Watches the Kubernetes API, instead of polling it, until each workload is rolled out. A Deployment is rolled out
    when every replica is updated and available, and no replica of an earlier revision is left. A Job has to be
    complete.
  - Fails before the timeout on problems that do not end by themselves. For a pod, these are an image that cannot be
    pulled, a crash loop, or a missing Secret or ConfigMap.
  - A pod that a quota or an admission rule rejects also fails. So does a pod that gets no node or no volume.
  - For a workload, such problems are a failed Job, an exceeded deadline, and a paused Deployment.
  - Prints a progress line every eight seconds, if it runs in the process of its task.
  - The error names the workload, the cause, and the next step, followed by the last events and log lines. Values of
    Secrets that the pods refer to are masked in it. Values with public keys such as C(username), C(host), and
    C(tls.crt) are not masked.
  - Checks only pods of the current revision. Pods of an earlier revision count only if they block the update of an
    ordered StatefulSet.
requirements:
  - PyYAML >= 3.11
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode:
    description: Returns the current state of the workloads, without waiting and without failing because of a workload.
    support: full
  diff_mode: {description: The module changes no objects., support: none}
notes:
  - A container without a readiness probe counts as available as soon as it has started, even if it crashes a moment
    later. Set a probe, or C(minReadySeconds) of the workload.
  - The module is read-only. It needs the verbs C(list) and C(watch) on the workloads and on pods, and for a Deployment
    on ReplicaSets. It also reads Events, ResourceQuotas, ControllerRevisions, PersistentVolumeClaims, Secrets,
    ConfigMaps, and logs, if permitted.
options:
  namespace:
    description: Namespace of the workloads.
    type: str
    required: true
  workloads:
    description: Workloads to wait for, all at the same time. With an empty list, the module returns at once.
    type: list
    elements: dict
    required: true
    suboptions:
      kind:
        description: Kind of the workload.
        type: str
        required: true
        choices: [Deployment, StatefulSet, DaemonSet, Job]
      name:
        description: Name of the workload.
        type: str
        required: true
  timeout:
    description: Maximum number of seconds to wait. V(0) checks once.
    type: int
    default: 600
  grace:
    description:
      - Seconds that a recoverable problem may last before the task fails, for example a missing Secret or a quota that
        rejects the pods.
    type: int
    default: 5
  volume_timeout:
    description: Seconds that a claim of a StatefulSet's pod may be without a volume before the task fails.
    type: int
    default: 60
  log_lines:
    description: Number of log lines of the failed container to show. V(0) shows none.
    type: int
    default: 20
  mask:
    description:
      - Additional values to mask in messages, events, and logs, as plain text, as base64, and with URL quoting. Ansible
        masks their plain text in all results.
    type: list
    elements: str
    default: []
seealso:
  - module: kubernetes.core.k8s
  - name: Deployments
    description: Meaning of the status of a Deployment.
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

- name: Wait for a long migration, and show more of its log if it fails
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
  description: Duration of the wait in seconds.
  returned: always, once the API was reached
  type: float
  sample: 12.4
workloads:
  description:
    - Workloads with their C(kind) and C(name).
    - The C(state) is V(done), V(waiting), V(failed), or V(missing). The C(reason) is what the workload waits for, or
      why it failed. It is empty for V(done).
    - The C(replicas) are the wanted number. For a Job, they are the active and succeeded pods.
    - The C(images) are those of the pod template. The C(image_ids) are those of the pods of the current revision.
    - The C(pods) are the running or succeeded pods of the current revision, each with its C(node) and the image ID of
      each container.
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
    - Reason of the failure. It is a reason of the Kubernetes API, such as V(ImagePullBackOff), V(CrashLoopBackOff),
      V(FailedCreate), V(FailedMount), or V(BackoffLimitExceeded).
    - Other reasons are V(Timeout), V(NotFound), V(Deleting), V(Paused), V(Suspended), V(Blocked), V(Unschedulable),
      V(ClaimDeleting), V(ClaimMissing), V(ClaimLost), and V(ClaimPending).
  returned: failure
  type: str
  sample: ImagePullBackOff
events:
  description: The last warning events about the failed workload and its pods, oldest first.
  returned: failure
  type: list
  elements: str
  sample:
    - "Failed Pod/polls-web-7d9f8c6b5-x2x4v: Error: ErrImagePull"
log:
  description: The last log lines of the failed container, from before its crash if it crashed.
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
    """Wait for the workloads, and exit the module with the result."""
    params = module.params
    connection.required_connection(params, dict(os.environ))
    workloads = [(w["kind"], w["name"]) for w in params["workloads"]]
    if not workloads:
        module.exit_json(changed=False, msg="No workloads to wait for.", seconds=0.0, workloads=[])
    with connection.explained(params):
        rollout = Rollout(connect(module), workloads, params["grace"], params["volume_timeout"], warn=module.warn)
        rollout.load()
    extra = params["mask"] or []
    if module.check_mode:
        rollout.judge()
        found = report.results(rollout, report.redactor(rollout, extra))
        module.exit_json(changed=False, msg=report.plan(found, params["namespace"]), seconds=0.0, workloads=found)
    if not rollout.wait(params["timeout"], lambda: report.progress_line(rollout, extra)) or rollout.of(Failed):
        module.fail_json(changed=False, **report.failure(rollout, params["timeout"], params["log_lines"], extra))
    done = report.results(rollout, report.Redactor())
    module.exit_json(changed=False, seconds=round(rollout.seconds, 1), workloads=done)


def main() -> None:
    module = k8s_module(OPTIONS)
    conclude(module, lambda: run(module))


if __name__ == "__main__":
    main()
