"""The rollout module: its options, its way with the API, and what it returns. A fake client answers for the cluster."""

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
            # The network cuts where it likes.
            yield text[:7]
            yield text[7:]

    def close(self) -> None: ...

    def release_conn(self) -> None: ...


class Client:
    """Answers as kubernetes.core's dynamic client does: lists, scripted watches, Secrets and logs."""

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
        assert method == "get", "the module changes nothing"
        assert params["serialize"] is False
        assert params["_request_timeout"], "no request may hang for ever"
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
    """The module ended; `failed` tells how."""

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
    """Run the module until it ends, and return how."""
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
    """A Deployment that lacks one available replica."""
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
def test_it_refuses_to_run_without_kubeconfig_and_context(
    params: dict[str, str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "connect", lambda module: pytest.fail("it must not even try"))
    with patch_module_args({**params, "namespace": "polls", "workloads": []}), pytest.raises(SystemExit):
        rollout.main()
    result = json.loads(capsys.readouterr().out)
    assert result["failed"]
    assert says in result["msg"]
    assert "\n" not in result["msg"]


def test_kubeconfig_and_context_may_come_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "kube config é"
    file.touch()
    environment = {"K8S_AUTH_KUBECONFIG": str(file), "K8S_AUTH_CONTEXT": "cp"}
    assert connection.required_connection({}, environment) == (str(file), "cp")


def test_a_kubeconfig_that_does_not_exist_is_named() -> None:
    with pytest.raises(ApiError, match="kubeconfig /nowhere/config, wanted for context cp, does not exist"):
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


def test_numbers_may_come_as_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "run", lambda module: module.exit_json(told=[module.params["timeout"]]))
    args = {"kubeconfig": "k", "context": "c", "namespace": "polls", "workloads": [], "timeout": "7"}
    with patch_module_args(args), pytest.raises(SystemExit):
        rollout.main()
    assert json.loads(capsys.readouterr().out)["told"] == [7]


def test_nothing_to_wait_for_is_done_without_a_look_at_the_cluster() -> None:
    with pytest.raises(Exit) as caught:
        rollout.run(Module([]), connect=lambda _module: pytest.fail("there is no need to connect"))
    assert not caught.value.failed
    assert caught.value.result["workloads"] == []


def test_the_documentation_names_the_options_that_there_are() -> None:
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


def test_what_is_done_already_is_told_at_once() -> None:
    client = Client(recorded("deployment_done"))
    end = run(client, Module([WEB]))
    assert not end.failed
    assert end.result["changed"] is False
    (told,) = end.result["workloads"]
    assert (told["state"], told["reason"], told["replicas"]) == ("done", "", 3)


def test_the_end_of_a_rollout_is_noticed_when_it_comes(rolling: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not at the next look at the clock, nor at the timeout."""
    monkeypatch.setattr(watch, "TICK", 600)

    def later() -> Iterator[dict[str, Any]]:
        time.sleep(0.3)
        yield finished(rolling)
        rolling.over.wait(600)

    rolling.watches["Deployment"] = [later]
    end = run(rolling, Module([WEB], timeout=90))
    assert not end.failed
    assert end.result["seconds"] < 60


def test_no_kind_is_listed_twice_while_all_is_well(rolling: Client) -> None:

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
    assert not end.failed, "a Job that was complete stays done, though its time to live ended"
    assert [told["state"] for told in end.result["workloads"]] == ["done", "done"]


def test_a_complete_job_stays_done_even_if_it_is_not_listed_any_more(rolling: Client) -> None:
    rolling.objects["Job"] = recorded("job_complete")["Job"]
    job = rolling.objects["Job"][0]

    def broken() -> Iterator[dict[str, Any]]:
        rolling.objects["Job"] = []
        yield from raising(ProtocolError("Connection broken"))()

    rolling.watches["Job"] = [broken]
    rolling.watches["Deployment"] = [lambda: iter([time.sleep(0.8) or finished(rolling)])]
    assert not run(rolling, Module([WEB, {"kind": "Job", "name": job["metadata"]["name"]}])).failed


def test_the_same_workload_twice_is_told_once() -> None:
    assert len(run(Client(recorded("deployment_done")), Module([WEB, WEB])).result["workloads"]) == 1


def test_the_timeout_tells_what_is_lacking(rolling: Client) -> None:
    end = run(rolling, Module([WEB], timeout=1))
    assert end.failed
    assert end.result["reason"] == "Timeout"
    assert end.result["msg"].startswith("Deployment polls-web is not done after 1 s: 2 of 3 replicas are available.")
    assert 1 <= end.result["seconds"] < 10


def test_no_time_is_enough_for_one_judgement(rolling: Client) -> None:
    assert run(rolling, Module([WEB], timeout=0)).result["reason"] == "Timeout"
    assert not run(Client(recorded("deployment_done")), Module([WEB], timeout=0)).failed


def test_a_workload_that_does_not_exist_fails_at_once() -> None:
    end = run(Client({}), Module([WEB]))
    assert end.failed
    assert end.result["msg"] == (
        "Deployment polls-web does not exist in namespace polls. Apply it first, then rerun the playbook."
    )


def test_a_workload_that_is_deleted_meanwhile_fails_at_once(rolling: Client) -> None:
    gone = {"type": "DELETED", "object": rolling.objects["Deployment"][0]}
    rolling.watches["Deployment"] = [lambda: iter([gone])]
    assert run(rolling, Module([WEB])).result["reason"] == "NotFound"


# --- An API that comes and goes ---------------------------------------------------------------------------------------


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


def test_a_watch_that_the_server_ends_goes_on_without_a_list(rolling: Client) -> None:
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "200"}}}

    def last() -> Iterator[dict[str, Any]]:
        yield finished(rolling)
        rolling.over.wait(600)

    rolling.watches["Deployment"] = [lambda: iter([bookmark]), last]
    assert not run(rolling, Module([WEB], timeout=60)).failed
    assert len([path for path in rolling.asked if path.endswith("/deployments")]) == 3, "one list and two watches"
    assert [version for kind, version in rolling.watched_from if kind == "Deployment"] == ["100", "200"]


def test_an_api_that_refuses_for_a_while_is_asked_again(rolling: Client) -> None:
    done = finished(rolling)["object"]

    def broken() -> Iterator[dict[str, Any]]:
        rolling.refused["Deployment"] = [ConnectionRefusedError(111, "Connection refused") for _ in range(3)]
        rolling.objects["Deployment"] = [done]
        yield from raising(ProtocolError("Connection broken"))()

    rolling.watches["Deployment"] = [broken]
    end = run(rolling, Module([WEB]))
    assert not end.failed
    assert not rolling.refused["Deployment"]


def test_nothing_is_read_from_what_may_be_outdated() -> None:
    """The grace time of a missing Secret ends while the watch is lost: that is no proof that it still is missing."""
    client = Client(recorded("deployment_config_error"))
    client.watches["Pod"] = [raising(ProtocolError("Connection broken"))]

    def load() -> Client:
        client.refused["Pod"] = [ConnectionRefusedError(111, "Connection refused") for _ in range(99)]
        return client

    watch = client.watches["Pod"][0]
    client.watches["Pod"] = [lambda: load() and watch()]
    end = run(client, Module([WEB], timeout=3, grace=2))
    assert end.result["reason"] == "Timeout"
    assert not [path for path in client.asked if "/secrets/" in path], "there is no use in asking"
    assert "the Kubernetes API does not answer: Connection refused" in end.result["msg"]


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "cannot be reached: Connection refused. Check that"),
        (TimeoutError("no answer within 15 s"), "cannot be reached: no answer within 15 s. Check that"),
        (error(401), "refuses the credentials of context cp. Renew them, then rerun"),
        (error(503, "the server is starting"), "returned 503 the server is starting. Fix the cause, then rerun"),
        (ValueError("Invalid kube-config file"), "The context cp cannot be used: Invalid kube-config file. Correct"),
    ],
)
def test_an_api_that_cannot_be_used_at_the_start_is_one_sentence(trouble: Exception, says: str) -> None:
    def refuse(_module: Any) -> Any:
        raise trouble

    with pytest.raises(ApiError) as caught:
        rollout.run(Module([WEB]), connect=refuse)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_api_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client as core

    never = threading.Event()
    monkeypatch.setattr(core, "get_api_client", lambda module: never.wait(20) and None)
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="no answer within"):
        connection.open_client(Module([WEB]), limit=0.1)
    assert time.monotonic() - started < 10
    never.set()


def test_kinds_are_discovered_when_one_is_looked_up() -> None:
    made = []

    class Discoverer:
        def __init__(self, client: str, cache_file: None) -> None:
            made.append((client, cache_file))

        def search(self, kind: str) -> list[str]:
            return [kind]

    core = types.SimpleNamespace(LazyDiscoverer=Discoverer)
    connection.defer_discovery(core)
    # A second client of the same process.
    connection.defer_discovery(core)
    resources = core.LazyDiscoverer("client", None)
    assert made == []
    assert (resources.search(kind="Pod"), resources.search(kind="Job")) == (["Pod"], ["Job"])
    assert made == [("client", None)]
    connection.defer_discovery(types.SimpleNamespace())


def test_clients_of_kubernetes_core_defer_discovery() -> None:
    """kubernetes.core has the name that is replaced, and asks for nothing when it makes a client."""
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client as core

    connection.defer_discovery(core)
    configuration = core.kubernetes.client.Configuration(host="http://127.0.0.1:1")
    assert isinstance(core.create_api_client(configuration).resources, connection.DeferredDiscovery)


def test_what_the_client_raises_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client as core

    def refuse(module: Any) -> Any:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(core, "get_api_client", refuse)
    with pytest.raises(ConnectionRefusedError):
        connection.open_client(Module([WEB]))


def test_a_kind_that_has_to_be_listed_and_may_not_is_named(rolling: Client) -> None:
    rolling.refused["Pod"] = [error(403, 'User "bob" cannot list')]
    with pytest.raises(ApiError) as caught:
        rollout.run(Module([WEB]), connect=lambda _module: connected(rolling))
    assert str(caught.value) == (
        'The pods in namespace polls may not be listed: 403 User "bob" cannot list. '
        "Grant list and watch on them, then rerun the playbook."
    )


@pytest.mark.parametrize("kind", ["Event", "ResourceQuota"])
def test_a_kind_that_only_explains_may_be_forbidden(kind: str) -> None:
    client = Client(recorded("deployment_done"))
    client.refused[kind] = [error(403)]
    module = Module([WEB])
    assert not run(client, module).failed
    assert plural_of(kind) in module.warnings[0]


def test_a_watch_that_ends_at_once_does_not_spin(rolling: Client) -> None:
    rolling.watches["Deployment"] = [lambda: iter(()) for _ in range(1000)]
    run(rolling, Module([WEB], timeout=1))
    assert len([path for path in rolling.asked if path.endswith("/deployments")]) < 50


# --- A missing Secret -------------------------------------------------------------------------------------------------


def secret(**values: str) -> dict[str, Any]:
    return {"data": {key: base64.b64encode(text.encode()).decode() for key, text in values.items()}}


def test_a_secret_that_is_missing_fails_after_the_grace_time() -> None:
    end = run(Client(recorded("deployment_config_error")), Module([WEB], grace=1, timeout=60))
    assert end.result["reason"] == "CreateContainerConfigError"
    assert "needs Secret web-secret, which does not exist. Create it" in end.result["msg"]
    assert 1 <= end.result["seconds"] < 30


def test_a_secret_that_came_meanwhile_is_left_time_to_be_noticed() -> None:
    client = Client(recorded("deployment_config_error"))
    client.single["Secret/web-secret"] = secret(key=PASSWORD)
    end = run(client, Module([WEB], grace=1, timeout=3))
    assert end.result["reason"] == "Timeout"


def test_a_secret_that_came_is_looked_up_once_per_grace_time() -> None:
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
def test_a_missing_object_is_looked_up(missing: model.Missing, answer: Any, exists: bool | None) -> None:
    client = Client({})
    client.single[f"{missing.kind}/{missing.name}"] = answer
    assert watch.exists(connected(client), missing) is exists


@pytest.mark.parametrize(("fresh", "confirmed"), [(True, True), (False, False)])
def test_what_cannot_be_looked_up_counts_if_the_evidence_is_fresh(fresh: bool, confirmed: bool) -> None:
    client = Client({})
    client.single["Secret/s"] = error(403)
    problem = model.Problem("X", "", missing=model.Missing("Secret", "s"), fresh=fresh)
    assert watch.Rollout(connected(client), [], 5).is_confirmed(problem) is confirmed


# --- What is returned -------------------------------------------------------------------------------------------------


@pytest.fixture
def crashing() -> Client:
    """A Deployment whose container crashes and writes its password in every form."""
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


def test_a_crash_is_told_with_the_log_from_before_it(crashing: Client) -> None:
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
    assert first.endswith("keeps crashing (exit code 1). Read its log and mend the cause, then rerun the playbook.")
    assert rest[0] == "Last events:"
    assert rest[1].startswith("  BackOff Pod/polls-web-")
    assert rest[-1] == f"  key {mask} abc"
    assert "Last log lines of polls-web-" in end.result["msg"]


def test_no_value_of_a_secret_is_returned(crashing: Client) -> None:
    for told in crashing.objects["Event"]:
        told["message"] += f" {PASSWORD} {ENCODED}"
    module = Module([WEB], mask=["given by the user"])
    crashing.logs = {key: f"{text}given by the user\ngiven%20by%20the%20user\n" for key, text in crashing.logs.items()}
    returned = json.dumps(run(crashing, module).result)
    for value in (PASSWORD, "a-secret-key", "given by the user"):
        assert not [form for form in masking.all_forms([value]) if form in returned], value


def test_secrets_that_may_not_be_read_do_not_hide_the_failure(crashing: Client) -> None:
    crashing.single = {"Secret/web-secret": error(403), "Secret/polls-database-app": error(403)}
    assert run(crashing, Module([WEB], mask=[PASSWORD])).result["reason"] == "CrashLoopBackOff"


def test_what_cannot_be_masked_is_kept_back(crashing: Client) -> None:
    crashing.single["Secret/polls-database-app"] = ConnectionResetError(104, "Connection reset by peer")
    end = run(crashing, Module([WEB]))
    assert (end.result["reason"], end.result["events"], end.result["log"]) == ("CrashLoopBackOff", [], [])
    assert PASSWORD not in str(end.result)


def test_the_timeout_tells_that_the_api_does_not_answer_any_more(rolling: Client) -> None:
    rolling.single["Secret/polls-database-app"] = ConnectionRefusedError(111, "Connection refused")
    end = run(rolling, Module([WEB], timeout=0))
    assert "are available, and the Kubernetes API does not answer: Connection refused. Look" in end.result["msg"]


def test_a_request_is_not_repeated_behind_our_back() -> None:
    client = DynamicClient.__new__(DynamicClient)
    client.client = ApiClient(Configuration(host="https://127.0.0.1:1"))
    pools = connection.without_retries(client).client.rest_client.pool_manager
    assert pools.connection_from_url("https://127.0.0.1:1").retries is False


def test_without_a_log_from_before_the_crash_the_present_one_is_told(crashing: Client) -> None:
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
def test_a_log_that_cannot_be_had_is_left_out(crashing: Client, answer: Any) -> None:
    crashing.logs = dict.fromkeys(crashing.logs, answer)
    end = run(crashing, Module([WEB]))
    assert end.result["log"] == []
    assert "Last log lines" not in end.result["msg"]


def test_no_log_is_read_when_none_is_wanted(crashing: Client) -> None:
    assert run(crashing, Module([WEB], log_lines=0)).result["log"] == []
    assert not [path for path in crashing.asked if path.endswith("/log")]


def test_a_failed_job_is_told_with_its_log() -> None:
    client = Client(recorded("job_failed"))
    name, pod = (client.objects[kind][0]["metadata"]["name"] for kind in ("Job", "Pod"))
    client.logs[(pod, "migrate", False)] = "django.db.utils.ProgrammingError\n"
    end = run(client, Module([{"kind": "Job", "name": name}]))
    assert end.result["msg"].startswith(
        f"Job {name} has failed: BackoffLimitExceeded: Job has reached the specified backoff limit. "
        "Read its log and mend the cause, then rerun the playbook.\n"
    )
    assert end.result["log"] == ["django.db.utils.ProgrammingError"]


def test_every_workload_that_failed_has_its_sentence(crashing: Client) -> None:
    end = run(crashing, Module([{"kind": "Job", "name": "nowhere"}, WEB]))
    lines = end.result["msg"].splitlines()
    assert lines[0].startswith("Job nowhere does not exist")
    assert lines[1].startswith("Deployment polls-web is stuck")
    assert end.result["reason"] == "NotFound"


# --- Check mode -------------------------------------------------------------------------------------------------------


def test_check_mode_says_what_it_would_wait_for(rolling: Client) -> None:
    end = run(rolling, Module([WEB, {"kind": "Job", "name": "polls-migrate"}], check_mode=True, timeout=600))
    assert not end.failed
    assert end.result["changed"] is False
    assert end.result["msg"] == (
        "Would wait in namespace polls for Deployment polls-web (waiting: 2 of 3 replicas are available), "
        "Job polls-migrate (missing: it does not exist)."
    )
    assert not rolling.watched_from, "it does not wait"


def test_check_mode_does_not_fail_for_what_is_stuck(crashing: Client) -> None:
    end = run(crashing, Module([WEB], check_mode=True))
    assert not end.failed
    assert end.result["workloads"][0]["state"] == "failed"
    assert "keeps crashing" in end.result["workloads"][0]["reason"]


# --- Room on nodes, volumes, and lines of a long wait -----------------------------------------------------------------


@pytest.mark.parametrize(("said", "reason"), [("TriggeredScaleUp", "Timeout"), ("BackOff", "Unschedulable")])
def test_a_pod_for_which_an_autoscaler_makes_room_is_waited_for(
    said: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "PLACING_PATIENCE", 0.5)
    objects = recorded("deployment_unschedulable")
    name = objects["Deployment"][0]["metadata"]["name"]
    objects["Event"] = [{"metadata": {"name": "e", "uid": "e"}, "reason": said, "involvedObject": {"uid": "another"}}]
    end = run(Client(objects), Module([{"kind": "Deployment", "name": name}], timeout=2))
    assert end.result["reason"] == reason
    assert "Insufficient memory" in end.result["msg"]


def test_a_claim_without_a_volume_is_told_with_the_word_of_its_provisioner() -> None:
    objects = recorded("statefulset_rolling")
    server = objects["StatefulSet"][0]
    server["status"] |= {"readyReplicas": 0, "availableReplicas": 0}
    for pod in objects["Pod"]:
        pod["status"] = {"phase": "Pending"}
        pod["spec"]["volumes"] = [{"persistentVolumeClaim": {"claimName": "data"}}]
    claim = {"metadata": {"name": "data", "uid": "claim"}, "spec": {"storageClassName": "slow"}, "status": {}}
    objects["PersistentVolumeClaim"] = [claim]
    told = [("Normal", "waits"), ("Warning", "no\nroom."), ("Normal", "waits")]
    objects["Event"] = [
        {"metadata": {"name": f"e{i}", "uid": f"e{i}"}, "type": kind, "message": words, "involvedObject": {"uid": "-"}}
        for i, (kind, words) in enumerate(told)
    ]
    module = Module([{"kind": "StatefulSet", "name": server["metadata"]["name"]}], volume_timeout=1)
    end = run(Client(objects), module)
    assert end.result["reason"] == "ClaimPending"
    assert (
        end.result["msg"]
        .splitlines()[0]
        .startswith(
            f"StatefulSet {server['metadata']['name']} is stuck: "
            "claim data has no volume, and its storage class is slow: no room. Repair the class's provisioner"
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
