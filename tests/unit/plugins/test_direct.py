"""Modules that run inside of the task's own process: with the same results, and only where it makes no difference."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.direct import run_here

ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
SETTINGS = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
SPEC = {"name": {"type": "str", "required": True}, "secret": {"type": "str", "no_log": True}, "count": {"type": "int"}}


def test_the_result_is_what_the_module_returns() -> None:
    def main() -> None:
        module = basic.AnsibleModule(SPEC)
        module.exit_json(changed=True, double=module.params["count"] * 2, told=module.params["name"])

    assert run_here(main, {"name": "é\u202e", "count": "21"}) == {"changed": True, "double": 42, "told": "é\u202e"}


def test_a_failure_is_a_result() -> None:
    def main() -> None:
        basic.AnsibleModule(SPEC).fail_json(msg="It is away. Bring it back.")

    result = run_here(main, {"name": "a"})
    assert result["failed"] is True
    assert result["msg"] == "It is away. Bring it back."


def test_options_are_checked() -> None:
    result = run_here(lambda: basic.AnsibleModule(SPEC), {"nam": "a"})
    assert result["failed"] is True
    assert "nam" in result["msg"]


def test_a_secret_option_is_in_no_result() -> None:
    def main() -> None:
        module = basic.AnsibleModule(SPEC)
        module.exit_json(said=f"It is {module.params['secret']}.")

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


def test_nothing_is_left_behind(capsys: pytest.CaptureFixture[str]) -> None:
    before = basic._ANSIBLE_ARGS, basic.AnsibleModule._record_module_result
    run_here(lambda: basic.AnsibleModule(SPEC).exit_json(), {"name": "a"})
    assert (basic._ANSIBLE_ARGS, basic.AnsibleModule._record_module_result) == before
    assert capsys.readouterr().out == ""


def test_a_crash_is_no_result() -> None:
    def main() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        run_here(main, {})
    with pytest.raises(RuntimeError, match="ended with 0 results"):
        run_here(lambda: None, {})


def command(folder: Path, kubeconfig: Path, **task: Any) -> dict[str, Any]:
    """Return the arguments for a process that runs the module node_addresses_info in a play."""
    options = {"kubeconfig": str(kubeconfig), "context": "a"}
    python = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    hosts = {"hosts": "localhost", "gather_facts": False, "vars": python}
    tasks = [{"cloud_django.kubernetes.node_addresses_info": options} | task]
    path = folder / "play.yml"
    configuration = folder / "ansible.cfg"
    configuration.touch()
    path.write_text(json.dumps([hosts | {"tasks": tasks}]), encoding="utf-8")
    return {
        "args": [ANSIBLE_PLAYBOOK, "-vvv", "--inventory", "localhost,", path],
        "cwd": folder,
        "env": os.environ | {"ANSIBLE_CONFIG": str(configuration)} | SETTINGS,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }


def play(folder: Path, **task: Any) -> tuple[str, str]:
    """Run it with a kubeconfig that is not there; return all output and the error."""
    ended = subprocess.run(**command(folder, folder / "none", **task), timeout=60)
    assert ended.returncode == 2, ended.stdout
    return ended.stdout, ended.stdout.partition('"msg": "')[2].partition('"\n')[0]


def test_a_task_runs_its_module_in_its_own_process(tmp_path: Path) -> None:
    output, error = play(tmp_path, connection="local")
    assert "ESTABLISH LOCAL CONNECTION" not in output
    assert error.startswith(f"The kubeconfig {tmp_path}/none, wanted for context a, does not exist.")


@pytest.mark.parametrize(
    "task",
    [
        {"environment": {"WHICH": "ever"}},
        {"vars": {"ansible_python_interpreter": "/usr/bin/env python3"}},
        {"vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}3"}},
    ],
    ids=["another environment", "any Python", "another Python"],
)
def test_a_task_that_asks_for_something_else_gets_it(tmp_path: Path, task: dict[str, Any]) -> None:
    output, _ = play(tmp_path, connection="local", **task)
    assert "ESTABLISH LOCAL CONNECTION" in output


def test_both_ways_end_alike(tmp_path: Path) -> None:
    _, here = play(tmp_path, connection="local")
    _, usual = play(tmp_path, connection="local", environment={"WHICH": "ever"})
    assert here == usual


def test_the_work_ends_with_the_play(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "a", "cluster": {"server": address}}],
            "users": [{"name": "a", "user": {"token": "none"}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        }
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(json.dumps(document), encoding="utf-8")
        process = subprocess.Popen(**command(tmp_path, kubeconfig, connection="local"))
        try:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(10)
                assert connection.recv(4096).startswith(b"GET ")
                process.kill()
                # Whoever asked is gone, long before the request's own limit.
                assert connection.recv(4096) == b""
        finally:
            process.kill()
            process.communicate(timeout=30)
