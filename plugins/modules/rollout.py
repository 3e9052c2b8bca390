#!/usr/bin/python
# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Wait until workloads are really rolled out, and fail as soon as one of them cannot be."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout
short_description: Wait until Kubernetes workloads are really rolled out
version_added: 0.1.0
author:
  - The Cloud Django authors (@cloud-django)
description:
  - Watches the Kubernetes API, instead of polling it, until each of the named workloads is really done. For a
    Deployment that means every replica is updated and available and no replica of an earlier revision is left, for a
    Job that it is complete.
  - Fails at once, and not at the timeout, on what cannot get better by itself. That is an image that cannot be pulled,
    a container that keeps crashing, a missing Secret or ConfigMap, a quota or an admission rule that refuses the pods,
    a Job that has failed, a deadline that was exceeded, a Deployment that is paused.
  - The error says which thing is stuck, why, and what to do next, followed by the last events and the last lines of the
    log. The values of Secrets that the pods refer to are masked in it, but for those whose key says that they are none,
    such as C(username), C(host) and C(tls.crt).
  - Only pods of the current revision are judged. What a broken earlier revision does is ignored, except that an ordered
    StatefulSet whose earlier pod is broken is reported, since it can replace none of its pods.
requirements:
  - PyYAML >= 3.11
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - cloud_django.kubernetes.connection
attributes:
  check_mode:
    description: Never waits and never fails for the sake of a workload, but tells its present state.
    support: full
  diff_mode:
    description: Shows what would change.
    support: none
notes:
  - A container without a readiness probe counts as available as soon as it has started. Give it a probe, or its
    workload C(minReadySeconds), or else one that crashes a moment later is taken for done.
  - Changes nothing in the cluster. It needs the verbs C(list) and C(watch) on the workloads, on Pods, and for a
    Deployment on ReplicaSets. Events, ResourceQuotas, ControllerRevisions, Secrets, ConfigMaps and logs are read where
    that is allowed.
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
    kubeconfig: ~/.kube/config
    context: minikube
    namespace: polls
    workloads:
      - kind: Deployment
        name: polls-web
      - kind: Deployment
        name: polls-cache

- name: Wait for a migration of many rows, and show more of its log if it fails
  cloud_django.kubernetes.rollout:
    kubeconfig: ~/.kube/config
    context: minikube
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
  description: What became of each workload.
  returned: always, once the API was reached
  type: list
  elements: dict
  contains:
    kind:
      description: The kind of the workload.
      type: str
    name:
      description: The name of the workload.
      type: str
    state:
      description: One of V(done), V(waiting), V(failed), and V(missing) if it does not exist.
      type: str
    reason:
      description: What it waits for or why it failed; empty when it is done.
      type: str
    replicas:
      description: How many pods it is to have. For a Job, how many are active or have succeeded.
      type: int
    images:
      description: The images that its pod template names.
      type: list
      elements: str
    image_ids:
      description: The different image IDs that its pods of the current revision really run.
      type: list
      elements: str
    pods:
      description:
        - Each running or succeeded pod of the current revision, with its node and the image ID of each container.
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
      V(Paused), V(Suspended) and V(Blocked).
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

import contextlib
import copy
import json
import logging
import os
import queue
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils import masking
from ansible_collections.cloud_django.kubernetes.plugins.module_utils import rollout_state as state
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.connection import (
    ApiException,
    HTTPError,
    Trouble,
    cause_of,
    connect,
    explain,
    required_connection,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.endpoints import path_of, plural_of
from ansible_collections.kubernetes.core.plugins.module_utils.ansiblemodule import AnsibleModule
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

SELECTORS = {"Event": "type=Warning"}
OPTIONAL = ("Event", "ResourceQuota", "ControllerRevision")

# All in seconds. A watch is renewed by the server every WATCH_LENGTH; one that is silent for longer than that is dead.
TICK = 0.5
REQUEST_LIMIT = (5.0, 15.0)
WATCH_LENGTH = 60
WATCH_LIMIT = (5.0, WATCH_LENGTH + 10.0)
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0

LOG_BYTES = 1 << 20

# What a Secret with the access to a database or a certificate also holds, and what anybody may read. Masking `polls` or
# `5432` would only make a message unreadable.
PUBLIC_KEYS = frozenset({"username", "host", "port", "database", "schema", "role", "ca.crt", "tls.crt"})


class Gone(Exception):
    """The watch's resource version is too old, so that the state has to be listed anew."""


@dataclass(frozen=True)
class Listing:
    """The objects of one kind, the resource version to watch from, and the server's time in seconds since the epoch."""

    items: list[dict[str, Any]]
    version: str
    server_time: float


class Api:
    """What this module asks of the Kubernetes API in one namespace; `client` is kubernetes.core's dynamic client."""

    def __init__(self, client: Any, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.silence = ""

    def request(self, kind: str, path: str = "", **params: Any) -> Any:
        limit = params.pop("limit", REQUEST_LIMIT)
        full_path = path_of(kind, self.namespace) + path
        return self.client.request("get", full_path, serialize=False, _request_timeout=limit, **params)

    def list_all(self, kind: str) -> Listing:
        """List the objects of a kind. Raises whatever the client or the network raises."""
        response = self.request(kind, field_selector=SELECTORS.get(kind))
        body = json.loads(response.data)
        stamp = response.headers.get("Date")
        return Listing(
            items=body["items"],
            version=body["metadata"]["resourceVersion"],
            server_time=parsedate_to_datetime(stamp).timestamp() if stamp else time.time(),
        )

    def watch(self, kind: str, version: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the changes of a kind until the server ends the watch. Raises Gone when the version is too old."""
        try:
            response = self.request(
                kind,
                watch=True,
                resource_version=version,
                allow_watch_bookmarks=True,
                timeout_seconds=WATCH_LENGTH,
                field_selector=SELECTORS.get(kind),
                limit=WATCH_LIMIT,
            )
        except ApiException as error:
            if error.status == 410:
                raise Gone from error
            raise
        try:
            for line in lines_of(response.stream(amt=None, decode_content=False)):
                change = json.loads(line)
                if change["type"] == "ERROR":
                    if change["object"].get("code") == 410:
                        raise Gone
                    raise OSError(change["object"].get("message", "the watch failed"))
                yield change["type"], change["object"]
        finally:
            response.close()
            response.release_conn()

    def has(self, missing: state.Missing) -> bool | None:
        """Tell whether a Secret or ConfigMap, or its key, exists; None if that may not be read or cannot be asked."""
        try:
            found = json.loads(self.request(missing.kind, f"/{missing.name}").data)
        except ApiException as error:
            return False if error.status == 404 else None
        except (HTTPError, OSError, ValueError):
            return None
        return not missing.key or missing.key in {**(found.get("data") or {}), **(found.get("binaryData") or {})}

    def secret_values(self, names: Iterable[str]) -> list[bytes]:
        """Return the values to mask of the named Secrets; those that do not exist or may not be read give none.

        Notes in `silence` why the API does not answer, so that there is no use in asking on.
        """
        values: list[bytes] = []
        for name in sorted(names):
            try:
                data = json.loads(self.request("Secret", f"/{name}").data).get("data") or {}
                values += [b64decode(text) for key, text in data.items() if key not in PUBLIC_KEYS]
            except ApiException:
                continue
            except (HTTPError, OSError, ValueError) as error:
                self.silence = cause_of(error)
                break
        return values

    def log(self, pod: str, container: str, previous: bool, lines: int) -> list[str]:
        """Return the last lines that a container wrote, those before its last crash if there are any."""
        for before in (True, False) if previous else (False,):
            query = [("container", container), ("tailLines", lines), ("limitBytes", LOG_BYTES)]
            query += [("previous", "true")] if before else []
            with contextlib.suppress(ApiException, HTTPError, OSError):
                text = self.request("Pod", f"/{pod}/log", query_params=query).data.decode(errors="replace")
                if not text.startswith("unable to retrieve container logs"):
                    return text.splitlines()[-lines:]
        return []


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream as soon as each is whole."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line.strip())


@dataclass(frozen=True)
class Listed:
    kind: str
    items: list[dict[str, Any]]


@dataclass(frozen=True)
class Changed:
    kind: str
    change: str
    item: dict[str, Any]


@dataclass(frozen=True)
class Lost:
    kind: str
    cause: str


class Watcher(threading.Thread):
    """Follows one kind of objects until it is stopped, through refused, dropped and expired watches."""

    def __init__(self, api: Api, kind: str, version: str, news: queue.Queue, stop: threading.Event) -> None:
        super().__init__(daemon=True, name=f"watch {kind}")
        self.api, self.kind, self.version, self.news, self.stop = api, kind, version, news, stop

    def run(self) -> None:
        pause = FIRST_PAUSE
        while not self.stop.is_set():
            try:
                if not self.version:
                    listing = self.api.list_all(self.kind)
                    self.version, pause = listing.version, FIRST_PAUSE
                    self.news.put(Listed(self.kind, listing.items))
                self.follow()
                self.stop.wait(FIRST_PAUSE)
            except Gone:
                self.version = ""
            except Exception as error:
                # A watcher that died would leave the module waiting for news that never come: whatever it is, go on.
                self.version = ""
                self.news.put(Lost(self.kind, cause_of(error)))
                self.stop.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def follow(self) -> None:
        for change, item in self.api.watch(self.kind, self.version):
            self.version = item["metadata"]["resourceVersion"]
            if self.stop.is_set():
                return
            if change != "BOOKMARK":
                self.news.put(Changed(self.kind, change, item))


type Workload = tuple[str, str]


class Rollout:
    """The workloads of one call, what is known about them, and the wait for them."""

    def __init__(
        self,
        api: Api,
        workloads: Sequence[Workload],
        grace: float,
        warn: Callable[[str], None] = lambda text: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.api, self.grace, self.warn, self.monotonic = api, grace, warn, monotonic
        self.workloads = list(dict.fromkeys(workloads))
        self.known: dict[str, dict[str, dict[str, Any]]] = {}
        self.versions: dict[str, str] = {}
        self.lost: dict[str, str] = {}
        self.memories = {workload: state.Memory() for workload in self.workloads}
        self.verdicts: dict[Workload, state.Verdict] = {}
        self.news: queue.Queue[Listed | Changed | Lost] = queue.Queue()
        self.started = self.monotonic()
        self.since = 0.0

    @property
    def seconds(self) -> float:
        """How long the wait has lasted, in seconds."""
        return self.monotonic() - self.started

    @property
    def objects(self) -> dict[str, list[dict[str, Any]]]:
        return {kind: list(items.values()) for kind, items in self.known.items()}

    def load(self) -> None:
        """Learn the present state. Raises ApiException, HTTPError or OSError if the API cannot be asked."""
        for kind in state.kinds_to_watch(kind for kind, _name in self.workloads):
            try:
                listing = self.api.list_all(kind)
            except ApiException as error:
                if error.status == 403 and kind in OPTIONAL:
                    self.warn(f"{plural_of(kind)} may not be read, so that some problems show only at the timeout.")
                    continue
                if error.status == 403:
                    raise Trouble(
                        f"The {plural_of(kind)} in namespace {self.api.namespace} may not be listed: "
                        f"{cause_of(error)}. Grant list and watch on them, then run the playbook again."
                    ) from error
                raise
            self.receive(Listed(kind, listing.items))
            self.versions[kind] = listing.version
            self.since = self.since or listing.server_time - self.seconds

    def receive(self, news: Listed | Changed | Lost) -> None:
        """Take in what a watcher reports."""
        if isinstance(news, Lost):
            self.lost[news.kind] = news.cause
        elif isinstance(news, Listed):
            self.known[news.kind] = {item["metadata"]["uid"]: item for item in news.items}
            self.lost.pop(news.kind, None)
        elif news.change == "DELETED" and not state.is_complete(news.kind, news.item):
            self.known[news.kind].pop(news.item["metadata"]["uid"], None)
        else:
            self.known[news.kind][news.item["metadata"]["uid"]] = news.item

    def judge(self) -> None:
        """Judge every workload anew. A complete Job stays done, even if its time to live ends meanwhile."""
        clock = state.Clock(now=self.since + self.seconds, since=self.since, grace=self.grace)
        objects = self.objects
        for workload in self.workloads:
            kind, name = workload
            if kind == "Job" and isinstance(self.verdicts.get(workload), state.Done):
                continue
            verdict, memory = state.judge(kind, name, objects, clock, self.memories[workload])
            if isinstance(verdict, state.Failed) and not self.is_confirmed(verdict.problem):
                # The kubelet tries again only every ten seconds or so: what it missed may be there by now.
                memory = memory.forget(verdict.problem.key)
                verdict = state.Waiting(verdict.problem)
            self.memories[workload], self.verdicts[workload] = memory, verdict

    def is_confirmed(self, problem: state.Problem) -> bool:
        """Tell whether a problem is real, by looking for the Secret or ConfigMap that it says is missing."""
        if problem.missing is None:
            return True
        found = self.api.has(problem.missing)
        return problem.fresh if found is None else not found

    def of(self, verdict: type) -> list[Workload]:
        return [w for w in self.workloads if isinstance(self.verdicts[w], verdict)]

    def is_settled(self) -> bool:
        return bool(self.of(state.Failed)) or not self.of(state.Waiting)

    def wait(self, timeout: float) -> bool:
        """Wait until all workloads are done or one has failed; False if the timeout, in seconds, comes first."""
        self.judge()
        if self.is_settled():
            return True
        stop = threading.Event()
        for kind, version in self.versions.items():
            Watcher(self.api, kind, version, self.news, stop).start()
        try:
            while (left := timeout - self.seconds) > 0:
                with contextlib.suppress(queue.Empty):
                    self.receive(self.news.get(timeout=min(TICK, left)))
                    while True:
                        self.receive(self.news.get_nowait())
                # What is known grows old while a watch is lost: neither success nor failure is read from it.
                if self.lost:
                    continue
                self.judge()
                if self.is_settled():
                    return True
            return False
        finally:
            stop.set()


@dataclass(frozen=True)
class Veil:
    """Masks the values of Secrets in whatever is told."""

    forms: Sequence[str]
    public: frozenset[str]

    def text(self, text: str) -> str:
        return masking.mask(text, self.forms, self.public)

    def problem(self, problem: state.Problem) -> state.Problem:
        return replace(problem, text=self.text(problem.text), advice=self.text(problem.advice))


def veil(rollout: Rollout, extra: Sequence[str]) -> Veil:
    """Learn what has to be masked when the unfinished workloads are spoken of."""
    names: set[str] = set()
    for workload, verdict in rollout.verdicts.items():
        if not isinstance(verdict, state.Done):
            names |= state.secrets_of(*workload, rollout.objects, verdict.problem.pod)
    values = [*([] if rollout.api.silence else rollout.api.secret_values(names)), *extra]
    return Veil(masking.all_forms(values), frozenset(state.public_names(rollout.objects)))


def told(rollout: Rollout, covered: Veil) -> list[dict[str, Any]]:
    """Return the workloads as the module returns them."""
    words = {state.Done: "done", state.Waiting: "waiting", state.Failed: "failed"}
    answers = []
    for workload in rollout.workloads:
        verdict = rollout.verdicts[workload]
        word, reason = words[type(verdict)], ""
        if not isinstance(verdict, state.Done):
            problem = covered.problem(verdict.problem)
            word = "missing" if problem.code == "NotFound" else word
            reason = masking.shorten(problem.text or f"it {problem.verb}")
        answers.append({**state.summary(*workload, rollout.objects), "state": word, "reason": reason})
    return answers


def failure(rollout: Rollout, timeout: int, log_lines: int, extra: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of fail_json for a rollout that failed or timed out."""
    waited = round(rollout.seconds, 1)
    rollout.api.silence = next(iter(rollout.lost.values()), "")
    covered = veil(rollout, extra)
    broken = rollout.of(state.Failed)
    problems = {w: covered.problem(rollout.verdicts[w].problem) for w in broken or rollout.of(state.Waiting)}
    if not broken:
        silence = rollout.api.silence and f", and the Kubernetes API does not answer: {rollout.api.silence}"
        verb = f"is not done after {timeout} s"
        problems = {w: replace(p, verb=verb, text=f"{p.text}{silence}") for w, p in problems.items()}
    first, problem = next(iter(problems.items()))
    # Without the Secrets' values nothing can be masked: what the pods said is then kept back.
    told_events = [] if rollout.api.silence else state.recent_events(*first, rollout.objects, problem.pod)
    events = [masking.shorten(covered.text(event)) for event in told_events]
    log: list[str] = []
    if log_lines > 0 and problem.container and not rollout.api.silence:
        log = rollout.api.log(problem.pod, problem.container, problem.previous, log_lines)
        # Masked as a whole, since a value may span lines.
        log = [line[:2000] for line in covered.text("\n".join(log)).splitlines()]
    sentences = [state.sentence(*workload, rollout.api.namespace, p) for workload, p in problems.items()]
    return {
        "msg": state.report(sentences, events, log, f"{problem.pod}/{problem.container}"),
        "reason": problem.code if broken else "Timeout",
        "events": events,
        "log": log,
        "seconds": waited,
        "workloads": told(rollout, covered),
    }


def plan(workloads: Sequence[dict[str, Any]], namespace: str) -> str:
    """Return what check mode says: the present state of each workload, and that it would wait for it."""
    parts = [f"{w['kind']} {w['name']} ({w['state']}{': ' if w['reason'] else ''}{w['reason']})" for w in workloads]
    return f"Would wait in namespace {namespace} for {', '.join(parts)}."


def argument_spec() -> dict[str, Any]:
    workload = {
        "kind": {"type": "str", "required": True, "choices": ["Deployment", "StatefulSet", "DaemonSet", "Job"]},
        "name": {"type": "str", "required": True},
    }
    return copy.deepcopy(AUTH_ARG_SPEC) | {
        "namespace": {"type": "str", "required": True},
        "workloads": {"type": "list", "elements": "dict", "required": True, "options": workload},
        "timeout": {"type": "int", "default": 600},
        "grace": {"type": "int", "default": 5},
        "log_lines": {"type": "int", "default": 20},
        "mask": {"type": "list", "elements": "str", "default": [], "no_log": True},
    }


def run(module: AnsibleK8SModule, open_client: Callable[[AnsibleK8SModule], Any] = connect) -> None:
    """Do what the options ask for, and end the module."""
    params = module.params
    kubeconfig, context = required_connection(params, dict(os.environ))
    workloads = [(w["kind"], w["name"]) for w in params["workloads"]]
    if not workloads:
        module.exit_json(changed=False, msg="There is nothing to wait for.", seconds=0.0, workloads=[])
    try:
        api = Api(open_client(module), params["namespace"])
        rollout = Rollout(api, workloads, params["grace"], warn=module.warn)
        rollout.load()
    except Trouble:
        raise
    except Exception as error:
        raise Trouble(explain(error, kubeconfig, context)) from error
    extra = params["mask"] or []
    if module.check_mode:
        rollout.judge()
        answers = told(rollout, veil(rollout, extra))
        module.exit_json(changed=False, msg=plan(answers, api.namespace), seconds=0.0, workloads=answers)
    if not rollout.wait(params["timeout"]) or rollout.of(state.Failed):
        module.fail_json(changed=False, **failure(rollout, params["timeout"], params["log_lines"], extra))
    answers = told(rollout, Veil([], frozenset()))
    module.exit_json(changed=False, seconds=round(rollout.seconds, 1), workloads=answers)


def main() -> None:
    module = AnsibleK8SModule(module_class=AnsibleModule, argument_spec=argument_spec(), supports_check_mode=True)
    # The client's own warnings about retries would end up in the task's output.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    try:
        run(module)
    except Trouble as trouble:
        module.fail_json(changed=False, msg=str(trouble))


if __name__ == "__main__":
    main()
