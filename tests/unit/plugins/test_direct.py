"""Modules that run in the process of their task: the same results, and only if host and Python are the same."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from ansible.module_utils import basic
from ansible.module_utils.common import json as module_json
from ansible.plugins.action import ActionBase
from ansible_collections.cloud_django.kubernetes.plugins.action import direct
from ansible_collections.cloud_django.kubernetes.plugins.action.direct import ActionModule, is_supported, run_here
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import progress

ROOT = Path(__file__).parents[3]
ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
SETTINGS = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
SPEC = {"name": {"type": "str", "required": True}, "secret": {"type": "str", "no_log": True}, "count": {"type": "int"}}


def test_the_result_of_the_module_is_returned() -> None:
    def main() -> None:
        module = basic.AnsibleModule(SPEC)
        module.exit_json(changed=True, double=module.params["count"] * 2, name=module.params["name"])

    assert run_here(main, {"name": "é\u202e", "count": "21"}) == {"changed": True, "double": 42, "name": "é\u202e"}


def test_a_failure_is_a_result() -> None:
    def main() -> None:
        basic.AnsibleModule(SPEC).fail_json(msg="It is missing. Restore it.")

    result = run_here(main, {"name": "a"})
    assert result["failed"] is True
    assert result["msg"] == "It is missing. Restore it."


def test_options_are_checked() -> None:
    result = run_here(lambda: basic.AnsibleModule(SPEC), {"nam": "a"})
    assert result["failed"] is True
    assert "nam" in result["msg"]


def test_a_secret_option_is_in_no_result() -> None:
    def main() -> None:
        module = basic.AnsibleModule(SPEC)
        module.exit_json(text=f"It is {module.params['secret']}.")

    assert "hunter22" not in json.dumps(run_here(main, {"name": "a", "secret": "hunter22"}))


def test_check_mode_arrives() -> None:
    def main() -> None:
        module = basic.AnsibleModule(SPEC, supports_check_mode=True)
        module.exit_json(check=module.check_mode)

    assert run_here(main, {"name": "a", "_ansible_check_mode": True})["check"] is True


def test_warnings_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        module = basic.AnsibleModule(SPEC)
        module.warn("It is late.")
        module.exit_json()

    run_here(main, {"name": "a"})
    assert "It is late." in capsys.readouterr().err


def test_ansible_core_is_restored_afterward(capsys: pytest.CaptureFixture[str]) -> None:
    before = basic._ANSIBLE_ARGS, basic.AnsibleModule._record_module_result
    run_here(lambda: basic.AnsibleModule(SPEC).exit_json(), {"name": "a"})
    assert (basic._ANSIBLE_ARGS, basic.AnsibleModule._record_module_result) == before
    assert capsys.readouterr().out == ""


def test_a_long_wait_prints_progress(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        module = basic.AnsibleModule(SPEC)
        progress.Pace().tell("waits for a pod")
        module.exit_json()

    monkeypatch.setattr(progress, "INTERVAL", 0)
    run_here(main, {"name": "a"})
    assert "  0 s: waits for a pod" in capsys.readouterr().out
    progress.Pace().tell("waits for nothing")
    assert not capsys.readouterr().out


def test_a_crash_is_no_result() -> None:
    def main() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        run_here(main, {})
    with pytest.raises(RuntimeError, match="ended with 0 results"):
        run_here(lambda: None, {})


def renamed(number: int, result: dict[str, Any], *, also: str) -> None:
    """Simulate a function of ansible-core with changed arguments."""


UNKNOWN: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "no arguments": lambda patch: patch.delattr(basic, "_ANSIBLE_ARGS"),
    "no profile": lambda patch: patch.delattr(basic, "_ANSIBLE_PROFILE"),
    "no record of the result": lambda patch: patch.delattr(basic.AnsibleModule, "_record_module_result"),
    "another record of the result": lambda patch: patch.setattr(
        basic.AnsibleModule, "exit_json", lambda self, **result: self._record_module_result(1, result, also="this")
    ),
    "a result that is printed": lambda patch: patch.setattr(
        basic.AnsibleModule, "exit_json", lambda self, **result: print(result)
    ),
    "arguments from elsewhere": lambda patch: patch.setattr(basic, "_load_params", lambda: {}),
    "no encoder": lambda patch: patch.delattr(module_json, "get_module_encoder"),
    "another encoder": lambda patch: patch.setattr(module_json, "get_module_encoder", renamed),
    "no decoder": lambda patch: patch.delattr(module_json, "get_module_decoder"),
    "another decoder": lambda patch: patch.setattr(module_json, "get_module_decoder", renamed),
    "no direction": lambda patch: patch.delattr(module_json, "Direction"),
    "no update of the arguments": lambda patch: patch.delattr(ActionBase, "_update_module_args"),
    "another update of the arguments": lambda patch: patch.setattr(ActionBase, "_update_module_args", renamed),
}


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check ansible-core again in this test and after it."""
    # A module without arguments reads standard input.
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    is_supported.cache_clear()
    yield
    is_supported.cache_clear()


@pytest.fixture
def action(monkeypatch: pytest.MonkeyPatch) -> ActionModule:
    """Return the action of a task that fails in this process and succeeds in another one."""
    task = MagicMock(action="cloud_django.kubernetes.rollout", args={}, async_val=0, environment=[])
    task.check_mode = False

    def find(name: str, collection_list: list[str]) -> SimpleNamespace:
        return SimpleNamespace(
            resolved=name.endswith("rollout"), resolved_fqcn=name, plugin_resolved_collection="cloud_django.kubernetes"
        )

    plugin = ActionModule(
        task=task,
        connection=MagicMock(transport="local", become=None),
        play_context=MagicMock(),
        loader=MagicMock(),
        templar=SimpleNamespace(template=lambda value: value),
        shared_loader_obj=MagicMock(),
    )
    monkeypatch.setattr(direct, "die_with_parent", lambda: None)
    monkeypatch.setattr(direct.module_loader, "find_plugin_with_context", find)
    monkeypatch.setattr(plugin, "_execute_module", lambda **_: {"as": "usual"})
    return plugin


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("change", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_unknown_ansible_core_runs_the_module_as_usual(
    action: ActionModule,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[pytest.MonkeyPatch], None],
) -> None:
    variables = {"ansible_python_interpreter": sys.executable}
    with monkeypatch.context() as patch:
        change(patch)
        assert action.run(task_vars=variables) == {"as": "usual"}
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("unchecked")
def test_known_ansible_core_runs_the_module_here(action: ActionModule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action, "_update_module_args", lambda *_: None)
    result = action.run(task_vars={"ansible_python_interpreter": sys.executable})
    assert result["msg"] == "missing required arguments: namespace, workloads"


def test_a_task_without_a_module_is_left_to_ansible(action: ActionModule) -> None:
    action._task.action = "cloud_django.kubernetes.direct"
    assert action.run(task_vars={"ansible_python_interpreter": sys.executable}) == {"as": "usual"}


def test_every_module_without_its_own_action_is_routed() -> None:
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text(encoding="utf-8"))
    routed = {
        name
        for name, route in runtime["plugin_routing"]["modules"].items()
        if route == {"action_plugin": "cloud_django.kubernetes.direct"}
    }
    modules, actions = (
        {path.stem for path in (ROOT / "plugins" / kind).glob("[a-z]*.py")} for kind in ("modules", "action")
    )
    assert routed == modules - actions
    # The other actions do more than run their module.
    assert actions == {"direct", "lease", "run_with_progress", "validate_arguments"}


def command(directory: Path, kubeconfig: Path, **task: Any) -> dict[str, Any]:
    """Return the arguments of a process that runs the module node_addresses_info in a play."""
    options = {"kubeconfig": str(kubeconfig), "context": "a"}
    python = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    hosts = {"hosts": "localhost", "gather_facts": False, "vars": python}
    tasks = [{"cloud_django.kubernetes.node_addresses_info": options} | task]
    path = directory / "play.yml"
    configuration = directory / "ansible.cfg"
    configuration.touch()
    path.write_text(json.dumps([hosts | {"tasks": tasks}]), encoding="utf-8")
    return {
        "args": [ANSIBLE_PLAYBOOK, "-vvv", "--inventory", "localhost,", path],
        "cwd": directory,
        "env": os.environ | {"ANSIBLE_CONFIG": str(configuration)} | SETTINGS,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }


def kubeconfig(directory: Path, server: str) -> Path:
    """Write a kubeconfig with one context for a server, and return its path."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "a", "cluster": {"server": server}}],
        "users": [{"name": "a", "user": {"token": "none"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    }
    path = directory / "kubeconfig"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def play(directory: Path, **task: Any) -> tuple[str, str]:
    """Run the play with a missing kubeconfig; return its output and the error."""
    ended = subprocess.run(**command(directory, directory / "none", **task), timeout=60)
    assert ended.returncode == 2, ended.stdout
    return ended.stdout, ended.stdout.partition('"msg": "')[2].partition('"\n')[0]


def test_a_module_runs_in_the_process_of_its_task(tmp_path: Path) -> None:
    output, error = play(tmp_path, connection="local")
    assert "ESTABLISH LOCAL CONNECTION" not in output
    assert error.startswith(f"The kubeconfig {tmp_path}/none for context a does not exist.")


@pytest.mark.parametrize(
    "task",
    [
        {"environment": {"WHICH": "ever"}},
        {"vars": {"ansible_python_interpreter": "/usr/bin/env python3"}},
        {"vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}3"}},
    ],
    ids=["another environment", "any Python", "another Python"],
)
def test_a_task_with_another_environment_or_python_runs_as_usual(tmp_path: Path, task: dict[str, Any]) -> None:
    output, _ = play(tmp_path, connection="local", **task)
    assert "ESTABLISH LOCAL CONNECTION" in output


def test_module_defaults_apply_to_all_names_of_a_module(tmp_path: Path) -> None:
    redirect = {"plugin_routing": {"modules": {"old": {"redirect": "cloud_django.kubernetes.rollout"}}}}
    meta = tmp_path / "ansible_collections/other/place/meta"
    meta.mkdir(parents=True)
    (meta / "runtime.yml").write_text(json.dumps(redirect), encoding="utf-8")
    arguments = command(tmp_path, tmp_path / "kubeconfig", connection="local")
    [started] = json.loads((tmp_path / "play.yml").read_text(encoding="utf-8"))
    names = ["cloud_django.kubernetes.rollout", "rollout", "other.place.old"]
    defaults = {
        "group/cloud_django.kubernetes.k8s": {"kubeconfig": str(tmp_path / "kubeconfig"), "context": "a"},
        "cloud_django.kubernetes.rollout": {"namespace": "polls"},
        "cloud_django.kubernetes.apply": {"no": "option"},
    }
    document = started | {
        "collections": ["cloud_django.kubernetes"],
        "connection": "local",
        "module_defaults": defaults,
        "tasks": [{name: {"workloads": []}} for name in names],
    }
    (tmp_path / "play.yml").write_text(json.dumps([document]), encoding="utf-8")
    kubeconfig(tmp_path, "http://127.0.0.1:1")
    arguments["env"] |= {"ANSIBLE_COLLECTIONS_PATH": str(tmp_path)}
    ended = subprocess.run(**arguments, timeout=60)
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.count("No workloads to wait for.") == len(names)
    assert "ESTABLISH LOCAL CONNECTION" not in ended.stdout


def test_the_kubernetes_client_is_loaded_before_the_tasks(tmp_path: Path) -> None:
    """Otherwise each task loads it. Python reports only imports of the playbook's process, because tasks are silent."""
    arguments = command(tmp_path, tmp_path / "none", connection="local")
    arguments["env"] |= {"PYTHONPROFILEIMPORTTIME": "1"}
    output = subprocess.run(**arguments, timeout=60).stdout
    assert re.search(r"\| +kubernetes\.client$", output, re.MULTILINE)


def test_both_ways_have_the_same_error(tmp_path: Path) -> None:
    _, here = play(tmp_path, connection="local")
    _, usual = play(tmp_path, connection="local", environment={"WHICH": "ever"})
    assert here == usual


def test_the_module_terminates_with_the_play(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        path = kubeconfig(tmp_path, f"http://127.0.0.1:{server.getsockname()[1]}")
        process = subprocess.Popen(**command(tmp_path, path, connection="local"))
        try:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(10)
                assert connection.recv(4096).startswith(b"GET ")
                process.kill()
                # The client has terminated, long before the timeout of its request.
                assert connection.recv(4096) == b""
        finally:
            process.kill()
            process.communicate(timeout=30)
