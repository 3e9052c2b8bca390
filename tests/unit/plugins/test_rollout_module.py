"""The module rollout with a fake client: its options, its use of the API, and its results."""

from __future__ import annotations

import base64
import copy
import json
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import client as api
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import connection, masking, progress
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.endpoints import PLURALS, plural_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import model, placing, watch
from ansible_collections.cloud_django.kubernetes.plugins.modules import rollout
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from urllib3.exceptions import ProtocolError

RECORDED = Path(__file__).parent / "recorded"
PASSWORD = "corr3ct/horse+battery"
KINDS = {plural: kind for (_version, kind), plural in PLURALS.items()}
WEB = {"kind": "Deployment", "name": "polls-web"}

type Script = Callable[[], Iterator[dict[str, Any]]]


def recorded(name: str) -> dict[str, list[dict[str, Any]]]:
    return json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))["objects"]


def error(status: int, message: str = "no") -> ApiException:
    trouble = ApiException(status=status, reason="Reason")
    trouble.body = json.dumps({"message": message})
    return trouble


class Response:
    def __init__(self, body: Any = None, lines: Iterator[dict[str, Any]] | None = None) -> None:
        self.data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = {"Date": "Wed, 25 Nov 2026 02:06:30 GMT"}
        self.lines = lines or iter(())

    def stream(self, amt: int | None, decode_content: bool) -> Iterator[bytes]:
        for line in self.lines:
            text = json.dumps(line).encode() + b"\n"
            # The network splits the data anywhere.
            yield text[:7]
            yield text[7:]

    def close(self) -> None: ...

    def release_conn(self) -> None: ...


class Client:
    """Answers like the dynamic client of kubernetes.core: lists, scripted watches, Secrets, and logs."""

    def __init__(self, objects: dict[str, list[dict[str, Any]]]) -> None:
        self.objects = objects
        self.watches: dict[str, list[Script]] = {}
        self.refused: dict[str, list[Exception]] = {}
        self.single: dict[str, Any] = {}
        self.logs: dict[tuple[str, str, bool], str | Exception] = {}
        self.asked: list[str] = []
        self.watched_from: list[tuple[str, str]] = []
        self.over = threading.Event()

    def request(self, method: str, path: str, **params: Any) -> Response:
        assert method == "get", "the module is read-only"
        assert params["serialize"] is False
        assert params["_request_timeout"], "each request needs a timeout"
        self.asked.append(path)
        _root, _, rest = path.partition("/namespaces/polls/")
        plural, _, name = rest.partition("/")
        kind = KINDS[plural]
        if name.endswith("/log"):
            query = dict(params["query_params"])
            answer = self.logs.get((name.removesuffix("/log"), query["container"], "previous" in query), error(400))
            return self.answer(answer.encode() if isinstance(answer, str) else answer)
        if name:
            return self.answer(self.single.get(f"{kind}/{name}", error(404)))
        if params.get("watch"):
            self.watched_from.append((kind, params["resource_version"]))
            scripts = self.watches.get(kind, [])
            return Response(lines=scripts.pop(0)() if scripts else self.silence())
        if self.refused.get(kind):
            raise self.refused[kind].pop(0)
        return Response({"items": self.objects.get(kind, []), "metadata": {"resourceVersion": "100"}})

    @staticmethod
    def answer(body: Any) -> Response:
        if isinstance(body, Exception):
            raise body
        return Response(body)

    def silence(self) -> Iterator[dict[str, Any]]:
        self.over.wait(20)
        yield from ()


class Exit(Exception):
    """The end of the module. `failed` is whether it failed."""

    def __init__(self, failed: bool, result: dict[str, Any]) -> None:
        super().__init__(str(result))
        self.failed, self.result = failed, result


class Module:
    def __init__(self, workloads: list[dict[str, str]], check_mode: bool = False, **params: Any) -> None:
        connection = {"kubeconfig": {"clusters": []}, "context": "cp"}
        defaults = {"timeout": 10, "grace": 5, "volume_timeout": 60, "log_lines": 20, "mask": []}
        self.params = {**connection, "namespace": "polls", "workloads": workloads, **defaults, **params}
        self.check_mode = check_mode
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def exit_json(self, **result: Any) -> None:
        raise Exit(False, result)

    def fail_json(self, **result: Any) -> None:
        raise Exit(True, result)


def connected(client: Client) -> api.Client:
    return api.Client(client, "polls")


def run(client: Client, module: Module) -> Exit:
    """Run the module, and return its end."""
    try:
        rollout.run(module, connect=lambda _module: connected(client))
    except Exit as end:
        return end
    finally:
        client.over.set()
    raise AssertionError("the module did not say how it ended")


def modified(item: dict[str, Any], **status: Any) -> dict[str, Any]:
    item = copy.deepcopy(item)
    item["status"].update(status)
    return {"type": "MODIFIED", "object": item}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "CONTEXT"):
        monkeypatch.delenv(f"K8S_AUTH_{name}", raising=False)


@pytest.fixture
def rolling() -> Client:
    """Deployment that lacks one available replica."""
    objects = recorded("deployment_done")
    objects["Deployment"][0]["status"].update({"availableReplicas": 2, "unavailableReplicas": 1})
    return Client(objects)


def finished(client: Client) -> dict[str, Any]:
    return modified(client.objects["Deployment"][0], availableReplicas=3, unavailableReplicas=0)


# --- Options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({}, "neither is set"),
        ({"kubeconfig": "/tmp/config"}, "context is not set"),
        ({"context": "cp"}, "kubeconfig is not set"),
        ({"kubeconfig": "", "context": ""}, "neither is set"),
    ],
)
def test_kubeconfig_and_context_are_required(
    params: dict[str, str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "connect", lambda module: pytest.fail("it must not even try"))
    with patch_module_args({**params, "namespace": "polls", "workloads": []}), pytest.raises(SystemExit):
        rollout.main()
    result = json.loads(capsys.readouterr().out)
    assert result["failed"]
    assert says in result["msg"]
    assert "\n" not in result["msg"]


def test_kubeconfig_and_context_can_come_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "kube config é"
    file.touch()
    environment = {"K8S_AUTH_KUBECONFIG": str(file), "K8S_AUTH_CONTEXT": "cp"}
    assert connection.required_connection({}, environment) == (str(file), "cp")


def test_a_missing_kubeconfig_is_reported() -> None:
    with pytest.raises(ApiError, match="kubeconfig /nowhere/config for context cp does not exist"):
        connection.required_connection({"kubeconfig": "/nowhere/config", "context": "cp"}, {})


@pytest.mark.parametrize(
    "workloads", [[{"kind": "Pod", "name": "a"}], [{"kind": "Job"}], [{"name": "a"}], "a Deployment"]
)
def test_a_workload_needs_a_known_kind_and_a_name(workloads: Any, capsys: pytest.CaptureFixture[str]) -> None:
    args = {"kubeconfig": "k", "context": "c", "namespace": "polls", "workloads": workloads}
    with patch_module_args(args), pytest.raises(SystemExit):
        rollout.main()
    result = json.loads(capsys.readouterr().out)
    assert result["failed"]
    assert "workloads" in result["msg"] or "dictionary requested" in result["msg"]


def test_numbers_can_be_strings(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "run", lambda module: module.exit_json(reported=[module.params["timeout"]]))
    args = {"kubeconfig": "k", "context": "c", "namespace": "polls", "workloads": [], "timeout": "7"}
    with patch_module_args(args), pytest.raises(SystemExit):
        rollout.main()
    assert json.loads(capsys.readouterr().out)["reported"] == [7]


def test_no_workloads_need_no_connection_to_the_cluster() -> None:
    with pytest.raises(Exit) as caught:
        rollout.run(Module([]), connect=lambda _module: pytest.fail("there is no need to connect"))
    assert not caught.value.failed
    assert caught.value.result["workloads"] == []


def test_the_documentation_lists_all_options() -> None:
    documented = yaml.safe_load(rollout.DOCUMENTATION)["options"]
    spec = rollout.OPTIONS
    assert set(documented) == set(spec)
    assert not set(spec) & set(AUTH_ARG_SPEC)
    for name, option in documented.items():
        for key in ("type", "elements", "default", "required"):
            assert option.get(key) == spec[name].get(key), (name, key)
    assert spec["mask"]["no_log"]
    yaml.safe_load(rollout.EXAMPLES)
    assert set(yaml.safe_load(rollout.RETURN)) == {"seconds", "workloads", "reason", "events", "log"}


# --- Waiting ----------------------------------------------------------------------------------------------------------


def test_a_finished_workload_returns_at_once() -> None:
    client = Client(recorded("deployment_done"))
    end = run(client, Module([WEB]))
    assert not end.failed
    assert end.result["changed"] is False
    (reported,) = end.result["workloads"]
    assert (reported["state"], reported["reason"], reported["replicas"]) == ("done", "", 3)


def test_the_end_of_a_rollout_is_noticed_at_once(rolling: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the next tick nor the timeout is awaited."""
    monkeypatch.setattr(watch, "TICK", 600)

    def later() -> Iterator[dict[str, Any]]:
        time.sleep(0.3)
        yield finished(rolling)
        rolling.over.wait(600)

    rolling.watches["Deployment"] = [later]
    end = run(rolling, Module([WEB], timeout=90))
    assert not end.failed
    assert end.result["seconds"] < 60


def test_no_kind_is_listed_twice_without_errors(rolling: Client) -> None:

    def later() -> Iterator[dict[str, Any]]:
        time.sleep(1.2)
        yield finished(rolling)
        rolling.over.wait(600)

    rolling.watches["Deployment"] = [later]
    assert not run(rolling, Module([WEB], timeout=60)).failed
    lists = [path for path in rolling.asked if path.endswith("/deployments")]
    assert len(lists) == 2, "one list and one watch"


def test_all_workloads_are_waited_for_at_the_same_time(rolling: Client) -> None:
    rolling.objects["Job"] = recorded("job_retrying")["Job"]
    job = rolling.objects["Job"][0]
    complete = modified(job, conditions=[{"type": "Complete", "status": "True"}])
    rolling.watches["Job"] = [lambda: iter([complete, {**complete, "type": "DELETED"}])]
    rolling.watches["Deployment"] = [lambda: iter([time.sleep(0.5) or finished(rolling)])]
    end = run(rolling, Module([WEB, {"kind": "Job", "name": job["metadata"]["name"]}]))
    assert not end.failed, "a complete Job stays done after its time to live"
    assert [reported["state"] for reported in end.result["workloads"]] == ["done", "done"]


def test_a_complete_job_stays_done_after_its_deletion(rolling: Client) -> None:
    rolling.objects["Job"] = recorded("job_complete")["Job"]
    job = rolling.objects["Job"][0]

    def broken() -> Iterator[dict[str, Any]]:
        rolling.objects["Job"] = []
        yield from raising(ProtocolError("Connection broken"))()

    rolling.watches["Job"] = [broken]
    rolling.watches["Deployment"] = [lambda: iter([time.sleep(0.8) or finished(rolling)])]
    assert not run(rolling, Module([WEB, {"kind": "Job", "name": job["metadata"]["name"]}])).failed


def test_a_repeated_workload_is_reported_once() -> None:
    assert len(run(Client(recorded("deployment_done")), Module([WEB, WEB])).result["workloads"]) == 1


def test_the_timeout_reports_the_missing_replicas(rolling: Client) -> None:
    end = run(rolling, Module([WEB], timeout=1))
    assert end.failed
    assert end.result["reason"] == "Timeout"
    assert end.result["msg"].startswith("Deployment polls-web is not done after 1 s: 2 of 3 replicas are available.")
    assert 1 <= end.result["seconds"] < 10


def test_a_timeout_of_0_gives_one_verdict(rolling: Client) -> None:
    assert run(rolling, Module([WEB], timeout=0)).result["reason"] == "Timeout"
    assert not run(Client(recorded("deployment_done")), Module([WEB], timeout=0)).failed


def test_a_workload_that_does_not_exist_fails_at_once() -> None:
    end = run(Client({}), Module([WEB]))
    assert end.failed
    assert end.result["msg"] == (f"Deployment polls-web does not exist in namespace polls. Apply it, {api.AGAIN}.")


def test_a_workload_that_is_deleted_during_the_wait_fails_at_once(rolling: Client) -> None:
    gone = {"type": "DELETED", "object": rolling.objects["Deployment"][0]}
    rolling.watches["Deployment"] = [lambda: iter([gone])]
    assert run(rolling, Module([WEB])).result["reason"] == "NotFound"


# --- An API with interruptions ----------------------------------------------------------------------------------------


def raising(trouble: Exception) -> Script:
    def script() -> Iterator[dict[str, Any]]:
        raise trouble
        yield {}

    return script


@pytest.mark.parametrize(
    "expired",
    [
        raising(error(410)),
        lambda: iter([{"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}]),
        raising(ProtocolError("Connection broken")),
        raising(ConnectionResetError(104, "Connection reset by peer")),
        raising(error(500)),
        lambda: iter([{"type": "ERROR", "object": {"code": 500, "message": "etcdserver: leader changed"}}]),
        raising(ValueError("half a line")),
    ],
)
def test_a_watch_that_breaks_is_followed_by_a_new_list(rolling: Client, expired: Script) -> None:
    done = finished(rolling)["object"]

    def broken() -> Iterator[dict[str, Any]]:
        rolling.objects["Deployment"] = [done]
        yield from expired()

    rolling.watches["Deployment"] = [broken]
    assert not run(rolling, Module([WEB])).failed


def test_a_watch_that_the_server_ends_continues_without_a_list(rolling: Client) -> None:
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "200"}}}

    def last() -> Iterator[dict[str, Any]]:
        yield finished(rolling)
        rolling.over.wait(600)

    rolling.watches["Deployment"] = [lambda: iter([bookmark]), last]
    assert not run(rolling, Module([WEB], timeout=60)).failed
    assert len([path for path in rolling.asked if path.endswith("/deployments")]) == 3, "one list and two watches"
    assert [version for kind, version in rolling.watched_from if kind == "Deployment"] == ["100", "200"]


def test_an_api_that_rejects_requests_for_a_while_is_retried(rolling: Client) -> None:
    done = finished(rolling)["object"]

    def broken() -> Iterator[dict[str, Any]]:
        rolling.refused["Deployment"] = [ConnectionRefusedError(111, "Connection refused") for _ in range(3)]
        rolling.objects["Deployment"] = [done]
        yield from raising(ProtocolError("Connection broken"))()

    rolling.watches["Deployment"] = [broken]
    end = run(rolling, Module([WEB]))
    assert not end.failed
    assert not rolling.refused["Deployment"]


def test_an_outdated_state_gives_no_verdict() -> None:
    """If the grace period of a missing Secret ends while the watch is lost, the Secret may exist."""
    client = Client(recorded("deployment_config_error"))
    client.watches["Pod"] = [raising(ProtocolError("Connection broken"))]

    def load() -> Client:
        client.refused["Pod"] = [ConnectionRefusedError(111, "Connection refused") for _ in range(99)]
        return client

    watch = client.watches["Pod"][0]
    client.watches["Pod"] = [lambda: load() and watch()]
    end = run(client, Module([WEB], timeout=3, grace=2))
    assert end.result["reason"] == "Timeout"
    assert not [path for path in client.asked if "/secrets/" in path], "a request would be useless"
    assert "the Kubernetes API does not answer: Connection refused" in end.result["msg"]


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "cannot be reached: Connection refused. Check that"),
        (TimeoutError("no response within 15 s"), "cannot be reached: no response within 15 s. Check that"),
        (error(401), "refuses the credentials of context cp. Renew them, then rerun"),
        (error(503, "the server is starting"), "returned 503 the server is starting. Fix the cause, then rerun"),
        (ValueError("Invalid kube-config file"), "The context cp cannot be used: Invalid kube-config file. Correct"),
        # As `minikube stop` leaves the file.
        (
            ValueError("Expected object with name cp in contexts list"),
            "playbook. If `make up` created the cluster, it also starts the cluster and restores its context.",
        ),
    ],
)
def test_an_unavailable_api_at_the_start_is_one_sentence(trouble: Exception, says: str) -> None:
    def refuse(_module: Any) -> Any:
        raise trouble

    with pytest.raises(ApiError) as caught:
        rollout.run(Module([WEB]), connect=refuse)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_api_that_never_answers_fails_at_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client as core

    never = threading.Event()
    monkeypatch.setattr(core, "get_api_client", lambda module: never.wait(20) and None)
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="no response within"):
        connection.open_client(Module([WEB]), limit=0.1)
    assert time.monotonic() - started < 10
    never.set()


def test_kinds_are_discovered_at_their_first_use() -> None:
    made = []

    class Discoverer:
        def __init__(self, client: str, cache_file: None) -> None:
            made.append((client, cache_file))

        def search(self, kind: str) -> list[str]:
            return [kind]

    core = types.SimpleNamespace(LazyDiscoverer=Discoverer)
    connection.defer_discovery(core)
    # A second client in the same process.
    connection.defer_discovery(core)
    resources = core.LazyDiscoverer("client", None)
    assert made == []
    assert (resources.search(kind="Pod"), resources.search(kind="Job")) == (["Pod"], ["Job"])
    assert made == [("client", None)]
    connection.defer_discovery(types.SimpleNamespace())


def test_clients_of_kubernetes_core_defer_discovery() -> None:
    """kubernetes.core has the replaced name, and sends no request to create a client."""
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client as core

    connection.defer_discovery(core)
    configuration = core.kubernetes.client.Configuration(host="http://127.0.0.1:1")
    assert isinstance(core.create_api_client(configuration).resources, connection.DeferredDiscovery)


def test_errors_of_the_client_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client as core

    def refuse(module: Any) -> Any:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(core, "get_api_client", refuse)
    with pytest.raises(ConnectionRefusedError):
        connection.open_client(Module([WEB]))


def test_a_required_kind_without_permission_is_reported(rolling: Client) -> None:
    rolling.refused["Pod"] = [error(403, 'User "bob" cannot list')]
    with pytest.raises(ApiError) as caught:
        rollout.run(Module([WEB]), connect=lambda _module: connected(rolling))
    assert str(caught.value) == (
        'The pods in namespace polls cannot be listed: 403 User "bob" cannot list. '
        f"Grant list and watch on them, {api.AGAIN}."
    )


@pytest.mark.parametrize("kind", ["Event", "ResourceQuota"])
def test_an_optional_kind_can_be_forbidden(kind: str) -> None:
    client = Client(recorded("deployment_done"))
    client.refused[kind] = [error(403)]
    module = Module([WEB])
    assert not run(client, module).failed
    assert plural_of(kind) in module.warnings[0]


def test_a_watch_that_ends_at_once_does_not_loop_without_pause(rolling: Client) -> None:
    rolling.watches["Deployment"] = [lambda: iter(()) for _ in range(1000)]
    run(rolling, Module([WEB], timeout=1))
    assert len([path for path in rolling.asked if path.endswith("/deployments")]) < 50


# --- A missing Secret -------------------------------------------------------------------------------------------------


def secret(**values: str) -> dict[str, Any]:
    return {"data": {key: base64.b64encode(text.encode()).decode() for key, text in values.items()}}


def test_a_missing_secret_fails_after_the_grace_period() -> None:
    end = run(Client(recorded("deployment_config_error")), Module([WEB], grace=1, timeout=60))
    assert end.result["reason"] == "CreateContainerConfigError"
    assert "needs Secret web-secret, which does not exist. Create it" in end.result["msg"]
    assert 1 <= end.result["seconds"] < 30


def test_a_new_secret_has_time_to_be_noticed() -> None:
    client = Client(recorded("deployment_config_error"))
    client.single["Secret/web-secret"] = secret(key=PASSWORD)
    end = run(client, Module([WEB], grace=1, timeout=3))
    assert end.result["reason"] == "Timeout"


def test_a_new_secret_is_read_once_per_grace_period() -> None:
    client = Client(recorded("deployment_config_error"))
    client.single["Secret/web-secret"] = secret(key=PASSWORD)
    now = [0.0]
    it = watch.Rollout(connected(client), [("Deployment", "polls-web")], 5, monotonic=lambda: now[0])
    it.load()
    lookups = []
    for now[0] in (0.0, 5.0, 5.5, 6.0, 10.4, 10.6, 11.0):
        it.judge()
        lookups.append(len([path for path in client.asked if "/secrets/" in path]))
    assert lookups == [0, 1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("missing", "answer", "exists"),
    [
        (model.Missing("Secret", "s"), secret(a="1"), True),
        (model.Missing("Secret", "s"), error(404), False),
        (model.Missing("Secret", "s"), error(403), None),
        (model.Missing("Secret", "s"), ConnectionResetError(), None),
        (model.Missing("Secret", "s", "a"), secret(a="1"), True),
        (model.Missing("Secret", "s", "b"), secret(a="1"), False),
        (model.Missing("ConfigMap", "s", "b"), {"binaryData": {"b": "AA=="}}, True),
    ],
)
def test_a_missing_object_is_checked(missing: model.Missing, answer: Any, exists: bool | None) -> None:
    client = Client({})
    client.single[f"{missing.kind}/{missing.name}"] = answer
    assert watch.exists(connected(client), missing) is exists


@pytest.mark.parametrize(("fresh", "confirmed"), [(True, True), (False, False)])
def test_an_unreadable_object_counts_if_the_evidence_is_fresh(fresh: bool, confirmed: bool) -> None:
    client = Client({})
    client.single["Secret/s"] = error(403)
    problem = model.Problem("X", "", missing=model.Missing("Secret", "s"), fresh=fresh)
    assert watch.Rollout(connected(client), [], 5).is_confirmed(problem) is confirmed


# --- Results ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def crashing() -> Client:
    """Deployment whose container crashes and writes its password in every form."""
    client = Client(recorded("deployment_crash"))
    client.single["Secret/web-secret"] = secret(key="a-secret-key", short="abc")
    client.single["Secret/polls-database-app"] = secret(password=PASSWORD, username="polls")
    client.logs = {(pod["metadata"]["name"], "polls-web", True): LOG for pod in client.objects["Pod"]}
    return client


ENCODED = base64.b64encode(PASSWORD.encode()).decode()
LOG = f"""starting
postgres://polls:corr3ct%2Fhorse%2Bbattery@polls-web
set {PASSWORD} or {ENCODED}
key a-secret-key abc
"""


def test_a_crash_is_reported_with_the_log_from_before_it(crashing: Client) -> None:
    end = run(crashing, Module([WEB]))
    assert end.failed
    assert end.result["reason"] == "CrashLoopBackOff"
    mask = masking.MASK
    assert end.result["log"] == [
        "starting",
        f"postgres://polls:{mask}@polls-web",
        f"set {mask} or {mask}",
        f"key {mask} abc",
    ]
    first, *rest = end.result["msg"].splitlines()
    assert first.startswith("Deployment polls-web is stuck: container polls-web of pod polls-web-")
    assert first.endswith(f"keeps crashing (exit code 1). Read its log and fix the cause, {api.AGAIN}.")
    assert rest[0] == "Last events:"
    assert rest[1].startswith("  BackOff Pod/polls-web-")
    assert rest[-1] == f"  key {mask} abc"
    assert "Last log lines of polls-web-" in end.result["msg"]


def test_no_value_of_a_secret_is_returned(crashing: Client) -> None:
    for reported in crashing.objects["Event"]:
        reported["message"] += f" {PASSWORD} {ENCODED}"
    module = Module([WEB], mask=["given by the user"])
    crashing.logs = {key: f"{text}given by the user\ngiven%20by%20the%20user\n" for key, text in crashing.logs.items()}
    returned = json.dumps(run(crashing, module).result)
    for value in (PASSWORD, "a-secret-key", "given by the user"):
        assert not [form for form in masking.all_forms([value]) if form in returned], value


def test_secrets_without_permission_do_not_hide_the_failure(crashing: Client) -> None:
    crashing.single = {"Secret/web-secret": error(403), "Secret/polls-database-app": error(403)}
    assert run(crashing, Module([WEB], mask=[PASSWORD])).result["reason"] == "CrashLoopBackOff"


def test_output_that_cannot_be_masked_is_left_out(crashing: Client) -> None:
    crashing.single["Secret/polls-database-app"] = ConnectionResetError(104, "Connection reset by peer")
    end = run(crashing, Module([WEB]))
    assert (end.result["reason"], end.result["events"], end.result["log"]) == ("CrashLoopBackOff", [], [])
    assert PASSWORD not in str(end.result)


def test_the_timeout_reports_an_unavailable_api(rolling: Client) -> None:
    rolling.single["Secret/polls-database-app"] = ConnectionRefusedError(111, "Connection refused")
    end = run(rolling, Module([WEB], timeout=0))
    assert "are available, and the Kubernetes API does not answer: Connection refused. Check" in end.result["msg"]


def test_the_http_client_does_not_retry_requests() -> None:
    client = DynamicClient.__new__(DynamicClient)
    client.client = ApiClient(Configuration(host="https://127.0.0.1:1"))
    pools = connection.without_retries(client).client.rest_client.pool_manager
    assert pools.connection_from_url("https://127.0.0.1:1").retries is False


def test_without_a_log_from_before_the_crash_the_current_one_is_shown(crashing: Client) -> None:
    answers = {True: 'failed to try resolving symlinks in path "/0.log": no such file', False: "now\n"}
    crashing.logs = {(pod, name, last): answers[last] for pod, name, _ in crashing.logs for last in answers}
    assert run(crashing, Module([WEB])).result["log"] == ["now"]


def test_a_log_is_read_again_after_the_kubelet_has_renamed_its_file(crashing: Client) -> None:
    gone = 'failed to try resolving symlinks in path "/0.log": no such file'
    answers = [gone, gone, "no data\n"]

    class Renamed(dict):
        def get(self, key: Any, default: Any = None) -> str:
            return answers.pop(0)

    crashing.logs = Renamed()
    assert run(crashing, Module([WEB])).result["log"] == ["no data"]


@pytest.mark.parametrize(
    "answer",
    [
        error(400),
        ConnectionResetError(),
        "unable to retrieve container logs for x",
        'failed to try resolving symlinks in path "/var/log/pods/x/main/0.log": no such file or directory',
    ],
)
def test_an_unavailable_log_is_left_out(crashing: Client, answer: Any) -> None:
    crashing.logs = dict.fromkeys(crashing.logs, answer)
    end = run(crashing, Module([WEB]))
    assert end.result["log"] == []
    assert "Last log lines" not in end.result["msg"]


def test_no_log_is_read_when_none_is_wanted(crashing: Client) -> None:
    assert run(crashing, Module([WEB], log_lines=0)).result["log"] == []
    assert not [path for path in crashing.asked if path.endswith("/log")]


def test_a_failed_job_is_reported_with_its_log() -> None:
    client = Client(recorded("job_failed"))
    name, pod = (client.objects[kind][0]["metadata"]["name"] for kind in ("Job", "Pod"))
    client.logs[(pod, "migrate", False)] = "django.db.utils.ProgrammingError\n"
    end = run(client, Module([{"kind": "Job", "name": name}]))
    assert end.result["msg"].startswith(
        f"Job {name} has failed: BackoffLimitExceeded: Job has reached the specified backoff limit. "
        f"Read its log and fix the cause, {api.AGAIN}.\n"
    )
    assert end.result["log"] == ["django.db.utils.ProgrammingError"]


def test_every_failed_workload_has_a_sentence(crashing: Client) -> None:
    end = run(crashing, Module([{"kind": "Job", "name": "nowhere"}, WEB]))
    lines = end.result["msg"].splitlines()
    assert lines[0].startswith("Job nowhere does not exist")
    assert lines[1].startswith("Deployment polls-web is stuck")
    assert end.result["reason"] == "NotFound"


# --- Check mode -------------------------------------------------------------------------------------------------------


def test_check_mode_reports_the_workloads(rolling: Client) -> None:
    end = run(rolling, Module([WEB, {"kind": "Job", "name": "polls-migrate"}], check_mode=True, timeout=600))
    assert not end.failed
    assert end.result["changed"] is False
    assert end.result["msg"] == (
        "Would wait in namespace polls for Deployment polls-web (waiting: 2 of 3 replicas are available), "
        "Job polls-migrate (missing: it does not exist)."
    )
    assert not rolling.watched_from, "check mode does not wait"


def test_check_mode_does_not_fail_for_a_stuck_workload(crashing: Client) -> None:
    end = run(crashing, Module([WEB], check_mode=True))
    assert not end.failed
    assert end.result["workloads"][0]["state"] == "failed"
    assert "keeps crashing" in end.result["workloads"][0]["reason"]


# --- Nodes, volumes, and progress lines -------------------------------------------------------------------------------


@pytest.mark.parametrize(("said", "reason"), [("TriggeredScaleUp", "Timeout"), ("BackOff", "Unschedulable")])
def test_a_pod_with_an_announced_node_is_waited_for(said: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "PLACING_PATIENCE", 0.5)
    objects = recorded("deployment_unschedulable")
    name = objects["Deployment"][0]["metadata"]["name"]
    objects["Event"] = [{"metadata": {"name": "e", "uid": "e"}, "reason": said, "involvedObject": {"uid": "another"}}]
    end = run(Client(objects), Module([{"kind": "Deployment", "name": name}], timeout=2))
    assert end.result["reason"] == reason
    assert "Insufficient memory" in end.result["msg"]


def test_a_claim_without_a_volume_is_reported_with_its_last_event() -> None:
    objects = recorded("statefulset_rolling")
    server = objects["StatefulSet"][0]
    server["status"] |= {"readyReplicas": 0, "availableReplicas": 0}
    for pod in objects["Pod"]:
        pod["status"] = {"phase": "Pending"}
        pod["spec"]["volumes"] = [{"persistentVolumeClaim": {"claimName": "data"}}]
    claim = {"metadata": {"name": "data", "uid": "claim"}, "spec": {"storageClassName": "slow"}, "status": {}}
    objects["PersistentVolumeClaim"] = [claim]
    reported = [("Normal", "waits"), ("Warning", "no\nroom."), ("Normal", "waits")]
    objects["Event"] = [
        {"metadata": {"name": f"e{i}", "uid": f"e{i}"}, "type": kind, "message": words, "involvedObject": {"uid": "-"}}
        for i, (kind, words) in enumerate(reported)
    ]
    module = Module([{"kind": "StatefulSet", "name": server["metadata"]["name"]}], volume_timeout=1)
    end = run(Client(objects), module)
    assert end.result["reason"] == "ClaimPending"
    assert (
        end.result["msg"]
        .splitlines()[0]
        .startswith(
            f"StatefulSet {server['metadata']['name']} is stuck: "
            "claim data has no volume, and its storage class is slow: no room. Repair the provisioner of the class"
        )
    )


def test_a_long_wait_prints_what_it_waits_for(rolling: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(progress, "INTERVAL", 0.3)
    monkeypatch.setattr(progress.Screen, "show", staticmethod(lines.append))
    end = run(rolling, Module([WEB], timeout=2))
    assert end.result["reason"] == "Timeout"
    assert len(lines) > 1
    assert lines[-1].endswith(" s: Deployment polls-web: 2 of 3 replicas are available")
    assert progress.INTERVAL < 10
