"""The callback of `make`, with small playbooks in a pipe and on a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import stat
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.callback import steps
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.screen import columns_of, plain

ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
CALLBACK = "cloud_django.kubernetes.steps"
ASSERT = "ansible.builtin.assert"
COMMAND = "ansible.builtin.command"
DEBUG = "ansible.builtin.debug"
FAIL = "ansible.builtin.fail"
REASON = "Deployment web is stuck: pod web-1 can't pull the image. Push the image, then rerun the playbook."
SECRET = "hunter2"


class Run(NamedTuple):
    code: int
    output: str
    error: str
    # The seconds at which something was printed.
    times: list[float]

    @property
    def lines(self) -> list[str]:
        """The lines without the duration of steps and of the run."""
        return [re.sub(r" +\d+\.\d s\b", " N s", line) for line in self.output.splitlines()]


class Project:
    """A directory with a playbook and roles."""

    def __init__(self, root: Path) -> None:
        self.root, self.log = root, root / "logs" / "run.log"
        (root / "ansible.cfg").touch()

    def role(self, name: str, *tasks: dict[str, Any]) -> dict[str, Any]:
        """Create a role, and return a task that imports it."""
        folder = self.root / "roles" / name / "tasks"
        folder.mkdir(parents=True)
        (folder / "main.yml").write_text(json.dumps(tasks), encoding="utf-8")
        return {"name": f"Deploy {name}", "ansible.builtin.import_role": {"name": name}}

    def write(self, *tasks: dict[str, Any], **play: Any) -> list[str]:
        """Write a play; return the command that runs it."""
        content = [{"name": "A play", "hosts": "all", "gather_facts": False, "tasks": tasks} | play]
        (self.root / "play.yml").write_text(json.dumps(content), encoding="utf-8")
        python = f"ansible_python_interpreter={sys.executable}"
        return [str(ANSIBLE_PLAYBOOK), "--connection=local", f"--extra-vars={python}", "play.yml"]

    def environment(self, **changes: str) -> dict[str, str]:
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ANSIBLE_", "NO_COLOR", "COLUMNS"))
        }
        return own | {
            "ANSIBLE_CONFIG": str(self.root / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": CALLBACK,
            "CLOUD_DJANGO_LOG": str(self.log),
            "CLOUD_DJANGO_TITLE": "Inventory: inventory/kind",
            **changes,
        }

    def run(
        self, *tasks: dict[str, Any], hosts: str = "one,", arguments: list[str] | None = None, **changes: str
    ) -> Run:
        """Run a play into a pipe."""
        return self.start([*self.write(*tasks), f"--inventory={hosts}", *(arguments or [])], **changes)

    def start(self, command: list[str], **changes: str) -> Run:
        process = subprocess.Popen(
            command, cwd=self.root, env=self.environment(**changes), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout
        assert process.stderr
        started, times, pieces = time.monotonic(), [], []
        while piece := os.read(process.stdout.fileno(), 65536):
            times.append(time.monotonic() - started)
            pieces.append(piece)
        error = process.stderr.read().decode()
        return Run(process.wait(60), b"".join(pieces).decode(), error, times)

    def on_terminal(
        self,
        *tasks: dict[str, Any],
        columns: int = 80,
        keys: dict[str, bytes] | None = None,
        play: Any = None,
        **changes: str,
    ) -> Run:
        """Run a play on a terminal; press keys once a text was printed."""
        command = [*self.write(*tasks, **(play or {})), "--inventory=one,"]
        process, terminal = pty.fork()
        if not process:
            os.chdir(self.root)
            # Not before the terminal has its size.
            os.read(0, 1)
            os.execve(command[0], command, self.environment(**changes))
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.write(terminal, b"\n")
        waiting, output = dict(keys or {}), b""
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                output += os.read(terminal, 65536)
            except OSError:
                break
            for text in [text for text in waiting if text in output.decode(errors="replace")]:
                os.write(terminal, waiting.pop(text))
        os.close(terminal)
        _, status = os.waitpid(process, 0)
        return Run(os.waitstatus_to_exitcode(status), output.decode().replace("\r\n", "\n").removeprefix("\n"), "", [])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def task(name: str, action: str, arguments: Any, **keywords: Any) -> dict[str, Any]:
    return {"name": name, action: arguments} | keywords


# Tasks without a module, because Ansible starts Python for each module.
OK = task("Look", ASSERT, {"that": True, "quiet": True}, changed_when=False)
CHANGED = task("Apply", ASSERT, {"that": True, "quiet": True}, changed_when=True)


def screen(output: str) -> list[str]:
    """Return the lines that a terminal shows at the end, without colors."""
    shown = [line.rpartition("\r")[2] for line in output.split("\n")]
    return [plain(line).rstrip() for line in shown if plain(line).strip()]


# --- Steps ------------------------------------------------------------------------------------------------------------


def test_each_role_is_a_line(project: Project) -> None:
    addresses = task("Report", DEBUG, {"msg": ["Site: http://127.0.0.1", "Admin: http://127.0.0.1/admin/"]})
    drift = task("Report drift", DEBUG, {"msg": "Cluster differs."})
    skipped = CHANGED | {"when": False}
    run = project.run(
        OK,
        project.role("cluster", drift, OK),
        project.role("database", OK, CHANGED, OK),
        project.role("builds", skipped),
        project.role("web", OK, addresses),
    )
    assert (run.code, run.error) == (0, "")
    assert run.lines == [
        "Inventory: inventory/kind",
        "ok       Deploy cluster N s",
        "changed  Deploy database N s",
        "ok       Deploy web N s",
        "Done in N s: 1 of 3 steps changed.",
        "Cluster differs.",
        "Site: http://127.0.0.1",
        "Admin: http://127.0.0.1/admin/",
    ]


def test_unchanged_run_has_at_most_twelve_lines(project: Project) -> None:
    names = ("namespace", "lease", "postgresql", "database", "migrations", "superuser", "web")
    roles = [project.role(name, OK, OK, OK) for name in names]
    run = project.run(OK, *roles, task("Report", DEBUG, {"msg": ["Site: a", "Admin: b"]}))
    assert len(run.lines) == 11
    assert run.lines[-3] == "Done in N s: nothing changed."


def test_task_of_the_play_is_a_line_if_it_changes_something(project: Project) -> None:
    assert project.run(OK, CHANGED).lines[1:] == ["changed  Apply N s", "Done in N s: 1 of 1 steps changed."]


def test_included_role_is_one_step_in_a_loop(project: Project) -> None:
    imported = project.role("part", OK, task("Report", DEBUG, {"msg": "part {{ item }}"}))
    included = {"name": "Deploy parts", "ansible.builtin.include_role": {"name": "part"}, "loop": [1, 2]}
    run = project.run(included, imported | {"vars": {"item": 3}})
    assert run.lines[1:3] == ["ok       Deploy parts N s", "ok       Deploy part N s"]
    assert run.lines[4:] == ["part 1", "part 2", "part 3"]


def test_role_of_the_play_has_its_own_name(project: Project) -> None:
    project.role("web", OK)
    run = project.start([*project.write(roles=["web"]), "--inventory=one,"])
    assert run.lines[1:] == ["ok       web N s", "Done in N s: nothing changed."]


def test_check_mode(project: Project) -> None:
    run = project.run(project.role("web", CHANGED | {"check_mode": False}), OK, arguments=["--check"])
    assert run.lines[1:] == ["changed  Deploy web N s", "Check mode, N s: 1 of 1 steps would change."]


def test_diff_is_printed_and_hidden_values_are_not(project: Project) -> None:
    file = project.root / "file"
    copy = task("Write", "ansible.builtin.copy", {"content": "new\n", "dest": str(file)})
    hidden = task("Hide", "ansible.builtin.copy", {"content": SECRET, "dest": f"{file}.secret"}, no_log=True)
    file.write_text("old\n")
    run = project.run(project.role("files", copy, hidden), arguments=["--diff"])
    assert {"-old", "+new"} <= set(run.lines)
    assert SECRET not in run.output + project.log.read_text()
    assert "+new" in project.log.read_text()


# --- Failures ---------------------------------------------------------------------------------------------------------


def test_failure_ends_with_its_reason_and_the_log(project: Project) -> None:
    run = project.run(project.role("image", CHANGED), project.role("web", OK, task("Wait", FAIL, {"msg": REASON})))
    assert run.code == 2
    assert run.lines[1:] == [
        "changed  Deploy image N s",
        "failed   Deploy web N s",
        f"Failed: {REASON}",
        "Full log: logs/run.log",
    ]
    assert "TASK [web : Wait]" in project.log.read_text()
    assert stat.S_IMODE(project.log.stat().st_mode) == 0o600
    assert stat.S_IMODE(project.log.parent.stat().st_mode) == 0o700


def test_log_is_the_output_of_ansible(project: Project) -> None:
    tasks = [OK, CHANGED, task("Report", DEBUG, {"msg": "a message"}), task("Wait", FAIL, {"msg": REASON})]
    project.run(*tasks, CLOUD_DJANGO_TITLE="")
    plainly = project.run(*tasks, ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default")
    expected = (plainly.output + plainly.error).splitlines()
    lines = [line.rstrip("*").rstrip() for line in project.log.read_text().splitlines()]
    assert sorted(filter(None, lines)) == sorted(filter(None, (line.rstrip("*").rstrip() for line in expected)))


def test_output_of_a_command_precedes_the_reason(project: Project) -> None:
    script = "for n in $(seq 30); do echo line $n; done; echo 'E: no space'; exit 3"
    work = {"label": "The work", "argv": ["sh", "-c", script], "log": str(project.root / "work.log")}
    run = project.run(project.role("builds", task("Build", "cloud_django.kubernetes.run_with_progress", work)))
    assert run.lines[-1] == "Full log: logs/run.log"
    assert run.lines[-2].startswith("Failed: The work failed with exit code 3: E: no space. ")
    assert run.lines[-3] == "  E: no space"
    assert len(run.lines) <= 15


def test_error_of_a_command_is_shown(project: Project) -> None:
    run = project.run(task("Call", COMMAND, "sh -c 'echo no such host >&2; exit 1'"))
    assert run.lines[-2] == "Failed: The command exited with a non-zero return code: no such host"


def test_items_that_fail_are_shown(project: Project) -> None:
    loop = task("Call", FAIL, {"msg": "{{ item }} is wrong."}, loop=["a", "b", "b"])
    assert project.run(loop).lines[-3:] == ["Failed: a is wrong.", "b is wrong.", "Full log: logs/run.log"]


def test_unreachable_host_is_a_failure(project: Project) -> None:
    away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    run = project.run(project.role("web", task("Call", "ansible.builtin.ping", {}, vars=away)))
    assert run.code == 4
    assert run.lines[1] == "failed   Deploy web N s"
    assert run.lines[-2].startswith("Failed: ")
    assert "refused" in run.lines[-2]


def test_rescued_failure_is_none(project: Project) -> None:
    block = {"block": [task("Try", FAIL, {"msg": "first"})], "rescue": [OK], "always": [OK]}
    run = project.run(project.role("web", block))
    assert (run.code, run.lines[1:]) == (0, ["ok       Deploy web N s", "Done in N s: nothing changed."])


def test_failure_of_a_rescue_is_the_one_that_is_shown(project: Project) -> None:
    block = {"block": [task("Try", FAIL, {"msg": "first"})], "rescue": [task("Explain", FAIL, {"msg": REASON})]}
    run = project.run(project.role("web", block, OK))
    assert run.lines[1:] == ["failed   Deploy web N s", f"Failed: {REASON}", "Full log: logs/run.log"]


def test_report_after_a_failure_precedes_its_reason(project: Project) -> None:
    removal = project.role("database", task("Remove", FAIL, {"msg": REASON}))
    receipt = project.role("receipt", task("Report", DEBUG, {"msg": "Removed: nothing"}))
    run = project.run({"block": [removal], "always": [receipt]})
    assert run.lines[1:] == [
        "failed   Deploy database N s",
        "ok       Deploy receipt N s",
        "Removed: nothing",
        f"Failed: {REASON}",
        "Full log: logs/run.log",
    ]


def test_ignored_failure_is_a_warning(project: Project) -> None:
    run = project.run(project.role("web", task("Try", FAIL, {"msg": REASON}, ignore_errors=True), OK))
    assert run.code == 0
    assert run.lines[1:] == [
        "ok       Deploy web N s",
        f"Warning: Try failed, which is ignored: {REASON}",
        "Done in N s: nothing changed.",
    ]


@pytest.mark.parametrize("ignored", [True, False])
def test_failure_without_a_readable_reason_is_shown(project: Project, ignored: bool) -> None:
    run = project.run(task("Try", FAIL, {"msg": "\x1b[0m"}, ignore_errors=ignored))
    assert run.code == (0 if ignored else 2)
    assert run.lines[-2] == (
        "Warning: Try failed, which is ignored: " if ignored else "Failed: The run failed without a message."
    )


def test_message_cannot_control_the_terminal(project: Project) -> None:
    run = project.run(task("Report", DEBUG, {"msg": "\x1b[2Ja \u200d\u00a0é\r"}))
    assert run.code == 0
    assert run.lines[-1] == "[2Ja \u200d\u00a0é"


def test_missing_role_is_a_failure(project: Project) -> None:
    run = project.run(
        project.role("web", OK), {"name": "Deploy more", "ansible.builtin.include_role": {"name": "gone"}}
    )
    assert run.code != 0
    assert run.lines[1:3] == ["ok       Deploy web N s", "failed   Deploy more N s"]
    assert run.lines[-2].startswith("Failed: The role 'gone' was not found")


def test_error_outside_of_tasks_is_shown_at_the_end(project: Project) -> None:
    command = project.write(project.role("web", OK))
    plays = json.loads((project.root / "play.yml").read_text())
    (project.root / "play.yml").write_text(json.dumps([*plays, plays[0] | {"strategy": "unknown"}]))
    run = project.start([*command, "--inventory=one,"])
    assert run.code != 0
    assert run.lines[1] == "ok       Deploy web N s"
    assert run.lines[-2].startswith("Failed: Invalid play strategy specified: unknown")
    assert run.lines[-1] == "Full log: logs/run.log"


MANIFEST = "\n".join(
    ["apiVersion: v1", "kind: Role", "metadata:", "  name: polls", *(f"- verb: {n}" for n in range(40))]
)
STEP = "Grant these Roles, then rerun the playbook"


@pytest.mark.parametrize(
    "message",
    [
        f"The user may not get pods. No changes were made. {STEP}:\n{MANIFEST}",
        f"The user may not get pods. No changes were made. {STEP}.\n{MANIFEST}",
        f"The user may not get pods. No changes were made. The Roles:\n{MANIFEST}\n{STEP}.",
        f"The user may not get pods. No changes were made. The Roles:\n{MANIFEST}: true. {STEP}.",
        f"The user may not get pods.\nIt may not get Secrets.\nb\nc\nd\ne\n{STEP}.\n{MANIFEST}",
        f"Validation failed:\n{MANIFEST}\n{STEP}.\nf",
        f"{STEP}.\n{MANIFEST}",
    ],
)
@pytest.mark.parametrize("hosts", ["one,", "one,two,", "one,two,three,four,"])
def test_next_step_is_in_the_last_lines(project: Project, message: str, hosts: str) -> None:
    failure = task("Check", FAIL, {"msg": "{{ inventory_hostname }} fails. " + message})
    run = project.run(project.role("web", OK, failure), hosts=hosts)
    assert run.code == 2
    # make adds a line.
    last = run.lines[-5:]
    shown = min(hosts.count(","), 3)
    assert sum(STEP in line for line in last) == shown
    assert run.output.count(STEP) == shown
    assert run.lines[-1] == "Full log: logs/run.log"
    assert "  - verb: 39" in run.output or "  - verb: 39" in run.output.replace("   -", "  -")
    assert STEP in project.log.read_text()


# --- Several hosts ----------------------------------------------------------------------------------------------------


def test_hosts_share_a_line_and_a_reason(project: Project) -> None:
    failure = task("Wait", FAIL, {"msg": REASON}, when="inventory_hostname != 'two'")
    run = project.run(project.role("web", OK, failure), OK, hosts="one,two,three")
    assert run.lines[1:] == [
        "failed   Deploy web N s",
        f"Failed on one, three: {REASON}",
        "Full log: logs/run.log",
    ]


def test_messages_of_several_hosts_name_their_host(project: Project) -> None:
    show = task("Show", DEBUG, {"msg": ["Site: http://{{ inventory_hostname }}", "Run `make password`."]})
    assert project.run(show, hosts="one,two").lines[-3:] == [
        "one: Site: http://one",
        "Run `make password`.",
        "two: Site: http://two",
    ]
    assert project.run(show, hosts="one,").lines[-2:] == ["Site: http://one", "Run `make password`."]


def test_only_some_of_many_failures_are_shown(project: Project) -> None:
    failure = task("Wait", FAIL, {"msg": "{{ inventory_hostname }} is wrong."})
    run = project.run(failure, hosts="a,b,c,d,e")
    assert sum("is wrong" in line for line in run.lines) == 3
    assert run.lines[-2:] == ["2 more failures are in the log.", "Full log: logs/run.log"]


# --- Hidden values, warnings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failing", [False, True])
def test_hidden_values_are_in_no_output(project: Project, failing: bool) -> None:
    secret = {"vars": {"word": SECRET}, "no_log": True}
    tasks = [
        task("Say", DEBUG, {"msg": "{{ word }}"}, **secret),
        task("Say each", DEBUG, {"msg": "{{ item }}"}, loop=["{{ word }}"], **secret),
        task("Call", COMMAND, "echo {{ word }}", **secret),
        task("Fail", FAIL, {"msg": "{{ word }}"}, ignore_errors=not failing, **secret),
        task("Fail each", FAIL, {"msg": "{{ item }}"}, loop=["{{ word }}"], **secret),
    ]
    run = project.run(project.role("web", *tasks))
    assert run.code == 2
    assert SECRET not in run.output + run.error + project.log.read_text()
    assert "no_log: true" in run.lines[-2]


HIDDEN: dict[str, dict[str, str]] = {
    "steps": {},
    "steps and details": {"ANSIBLE_VERBOSITY": "4"},
    "V=1": {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"},
    "V=1 and details": {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_VERBOSITY": "3"},
}


@pytest.mark.parametrize("changes", HIDDEN.values(), ids=HIDDEN)
def test_hidden_values_are_in_no_output_of_any_kind_of_task(project: Project, changes: dict[str, str]) -> None:
    """Also in differences, in results that are tried again, and in those of modules that hide an option themselves."""
    words = [SECRET, f"other {SECRET}"]
    secret = {"vars": {"word": SECRET, "words": words}, "no_log": True, "ignore_errors": True}
    file = str(project.root / "file")
    copy = "ansible.builtin.copy"
    tasks = [
        task("Write", copy, {"content": "{{ word }}", "dest": file}, **secret),
        task("Write again", copy, {"content": "{{ word }}\n{{ word }}", "dest": file}, **secret),
        task("Write each", copy, {"content": "{{ item }}", "dest": file}, loop="{{ words }}", **secret),
        task("Edit", "ansible.builtin.lineinfile", {"path": file, "line": "{{ word }} at the end"}, **secret),
        task("Try", COMMAND, "sh -c 'echo {{ word }} >&2; exit 1'", retries=1, delay=0, until=False, **secret),
        task("Call each", COMMAND, "sh -c 'echo {{ item }}; exit 1'", loop="{{ words }}", **secret),
        task(
            "Request",
            "ansible.builtin.uri",
            {"url": "http://127.0.0.1:1/", "url_username": "admin", "url_password": "{{ word }}"},
            vars={"word": SECRET},
            ignore_errors=True,
        ),
    ]
    # Ansible's own output shows the error of a task despite no_log, unless it is that of an item.
    errors = [
        task("Look up", DEBUG, {"msg": "{{ {word: 1}[words] }}"}, **secret),
        {"block": [task("Fail", FAIL, {"msg": "{{ word }}"}, vars={"word": SECRET}, no_log=True)], "rescue": [OK]},
        task("Fail each", FAIL, {"msg": "{{ item }}"}, loop="{{ words }}", **secret),
    ]
    tasks += errors if "ANSIBLE_STDOUT_CALLBACK" not in changes else []
    run = project.run(project.role("web", *tasks, task("End", FAIL, {"msg": REASON})), arguments=["--diff"], **changes)
    assert run.code == 2, run.output
    log = project.log.read_text() if project.log.exists() else ""
    assert SECRET not in run.output + run.error + log
    assert ("TASK [web : End]" in log) == ("ANSIBLE_STDOUT_CALLBACK" not in changes)
    assert "Request" in log + run.output


def test_variables_of_the_command_line_are_not_in_the_log(project: Project) -> None:
    """With four -v, Ansible shows its arguments."""
    arguments = ["-vvvv", f"--extra-vars=word={SECRET}"]
    run = project.run(project.role("web", OK), task("Fail", FAIL, {"msg": REASON}), arguments=arguments)
    assert run.code == 2
    assert SECRET not in run.output + run.error + project.log.read_text()
    assert "PLAYBOOK: play.yml" in project.log.read_text()


def test_warnings_follow_the_steps_once(project: Project) -> None:
    (project.root / "library").mkdir()
    (project.root / "library" / "warns.py").write_text(
        "from ansible.module_utils.basic import AnsibleModule\n"
        "module = AnsibleModule({})\n"
        "module.warn('The NetworkPolicy is not enforced.')\n"
        "module.deprecate('This goes away.', version='9.0', collection_name='a.b')\n"
        "module.exit_json()\n"
    )
    warns = task("Call", "warns", {})
    run = project.run(project.role("web", warns, warns), task("Report", DEBUG, {"msg": "Site: a"}))
    assert run.error == ""
    assert run.lines[1:3] == ["ok       Deploy web N s", "Warning: The NetworkPolicy is not enforced."]
    assert run.lines[3].startswith("Warning: This goes away.")
    assert run.lines[4:] == ["Done in N s: nothing changed.", "Site: a"]


# --- Terminals --------------------------------------------------------------------------------------------------------


def test_terminal_of_forty_columns(project: Project) -> None:
    work = {"label": "The work", "argv": ["sh", "-c", "echo x; sleep 3"], "interval": 0.5, "count": "x", "total": 9}
    build = task("Build", "cloud_django.kubernetes.run_with_progress", work)
    run = project.on_terminal(
        project.role("builds", build),
        project.role("web_of_a_very_long_name_indeed", OK),
        columns=40,
        TERM="xterm",
    )
    assert run.code == 0
    assert all(columns_of(plain(part)) <= 39 for line in run.output.split("\n") for part in line.split("\r"))
    assert "\r    2 s  The work: 1 of about 9\x1b[K" in run.output
    lines = screen(run.output)
    assert [re.sub(r" +\d\.\d s", " N s", line) for line in lines] == [
        "Inventory: inventory/kind",
        "changed  Deploy builds N s",
        "ok       Deploy web_of_a_very_... N s",
        "Done in N s: 1 of 2 steps changed.",
    ]


@pytest.mark.parametrize(("changes", "forbidden"), [({"TERM": "dumb"}, "\x1b"), ({"NO_COLOR": "1"}, "\x1b[0;3")])
def test_terminal_without_colors_or_cursor(project: Project, changes: dict[str, str], forbidden: str) -> None:
    run = project.on_terminal(
        project.role("web", task("Wait", COMMAND, "sleep 1.6"), task("Fail", FAIL, {"msg": REASON})),
        **({"TERM": "xterm"} | changes),
    )
    assert run.code == 2
    assert forbidden not in run.output
    assert screen(run.output)[-2:] == [f"Failed: {REASON}", "Full log: logs/run.log"]
    assert ("\r" in run.output) == (changes.get("TERM") != "dumb")


def test_question_of_a_play_is_asked_on_a_clean_line(project: Project) -> None:
    play = {"vars_prompt": [{"name": "pods", "prompt": "How many pods", "private": False}]}
    run = project.on_terminal(
        task("Report", DEBUG, {"msg": "{{ pods }} pods"}), play=play, keys={"How many pods: ": b"5\n"}, TERM="xterm"
    )
    assert run.code == 0
    assert screen(run.output)[-1] == "5 pods"


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_interruption_ends_with_the_next_step(project: Project, term: str) -> None:
    wait = task("Report", DEBUG, {"msg": "Cluster differs."}), task("Wait", COMMAND, "sleep 30")
    run = project.on_terminal(
        project.role("image", OK), project.role("web", *wait), keys={"Deploy image": b"\x03"}, TERM=term
    )
    assert run.code == 99
    assert screen(run.output)[-1] == "The run was interrupted. Full log: logs/run.log"
    assert any(line.startswith("stopped  Deploy ") for line in screen(run.output))
    assert "[ERROR]" not in run.output


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGTERM, signal.SIGTERM]])
def test_interruption_in_a_pipe(project: Project, signals: list[signal.Signals]) -> None:
    mark = project.root / "mark"
    command = [*project.write(project.role("web", task("Wait", COMMAND, f"sh -c 'touch {mark}; sleep 30'"))), "-ione,"]
    process = subprocess.Popen(
        command, cwd=project.root, env=project.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not mark.exists():
        time.sleep(0.1)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.05)
    output, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (99, "")
    assert output.splitlines()[-1] == "The run was interrupted. Full log: logs/run.log"


def test_second_playbook_continues_the_run(project: Project) -> None:
    mark = project.root / "mark"
    command = project.write(project.role("web", task("Wait", COMMAND, f"sh -c 'touch {mark}; sleep 30'")))
    (project.root / "first.yml").write_text(json.dumps([{"name": "First", "hosts": "all", "gather_facts": False}]))
    process = subprocess.Popen(
        [*command[:-1], "first.yml", command[-1], "-ione,"],
        cwd=project.root,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not mark.exists():
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (99, "")
    assert "Warning" not in output
    assert output.count("Inventory: ") == 1
    assert output.splitlines()[-1] == "The run was interrupted. Full log: logs/run.log"


def raising(error: type[BaseException]) -> Callable[..., None]:
    def handler(number: int, frame: object) -> None:
        raise error

    return handler


def test_interruption_waits_until_a_process_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    plugin = steps.CallbackModule()
    plugin.former = raising(KeyboardInterrupt)
    with plugin.display._lock:
        plugin._interrupt(signal.SIGINT, None)
    assert plugin.is_deferred
    with pytest.raises(KeyboardInterrupt):
        plugin._interrupt(signal.SIGINT, None)
    plugin.former = raising(ValueError)
    with pytest.raises(KeyboardInterrupt):
        plugin._interrupt(signal.SIGINT, None)
    plugin.process = -1
    plugin._interrupt(signal.SIGINT, None)


# Loses each Ctrl-C, as Ansible sometimes does.
STUBBORN = f"""
DOCUMENTATION = {steps.DOCUMENTATION.replace("name: steps", "name: stubborn")!r}
from {steps.__name__} import CallbackModule as Steps
from {steps.__name__.rpartition(".")[0]} import steps
steps.GRACE = 1
class CallbackModule(Steps):
    CALLBACK_NAME = "stubborn"
    def v2_playbook_on_start(self, playbook):
        super().v2_playbook_on_start(playbook)
        self.former = lambda number, frame: None
"""


def test_interruption_that_ansible_loses_stops_the_run(project: Project) -> None:
    (project.root / "stubborn.py").write_text(STUBBORN, encoding="utf-8")
    run = project.on_terminal(
        project.role("web", task("Wait", COMMAND, "sleep 40")),
        keys={"2 s": b"\x03"},
        TERM="xterm",
        ANSIBLE_CALLBACK_PLUGINS=str(project.root),
        ANSIBLE_STDOUT_CALLBACK="stubborn",
    )
    assert run.code == 99
    assert screen(run.output)[-1] == "The run was interrupted. Full log: logs/run.log"


def test_pipe_is_never_silent_for_long(project: Project) -> None:
    run = project.run(project.role("web", task("Wait", COMMAND, "sleep 10.5")))
    assert [line for line in run.lines if line.endswith(" s  Deploy web: Wait")]
    assert not set("\r\x1b") & set(run.output)
    assert max(later - earlier for earlier, later in zip(run.times, run.times[1:], strict=False)) < 10.5


def test_reader_that_leaves_does_not_stop_the_run(project: Project) -> None:
    mark = project.root / "mark"
    command = [*project.write(project.role("web", CHANGED), task("Mark", COMMAND, f"touch {mark}")), "-ione,"]
    process = subprocess.Popen(command, cwd=project.root, env=project.environment(), stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.close()
    assert process.wait(60) == 0
    assert mark.exists()


# --- Options ----------------------------------------------------------------------------------------------------------


def test_answer_is_all_that_is_printed(project: Project) -> None:
    answer = project.role("password", OK, CHANGED, task("Show", DEBUG, {"msg": SECRET}))
    warned = task("Try", FAIL, {"msg": REASON}, ignore_errors=True)
    changes = {"CLOUD_DJANGO_ANSWER_ONLY": "true", "CLOUD_DJANGO_TITLE": ""}
    run = project.run(answer, warned, **changes)
    assert (run.code, run.output) == (0, f"{SECRET}\n")
    assert run.error.startswith("Warning: Try failed")
    assert not project.log.exists()
    run = project.run(task("Fail", FAIL, {"msg": REASON}), **changes)
    assert (run.code, run.output, run.error) == (2, "", f"Failed: {REASON}\n")


def test_log_that_cannot_be_created_is_a_warning(project: Project) -> None:
    project.log.parent.touch()
    run = project.run(OK)
    assert run.code == 0
    assert run.lines[1] == f"Warning: Log {project.log} can't be created: File exists."


def test_old_logs_are_removed(project: Project) -> None:
    project.log.parent.mkdir()
    for number in range(30):
        file = project.log.with_name(f"{number}.log")
        file.touch()
        os.utime(file, (number, number))
    project.run(OK)
    assert len(list(project.log.parent.iterdir())) == 20
    assert project.log.exists()
    assert not project.log.with_name("10.log").exists()


def test_own_log_of_ansible_has_everything(project: Project) -> None:
    project.run(CHANGED, ANSIBLE_LOG_PATH=str(project.root / "own.log"))
    assert "TASK [Apply]" in (project.root / "own.log").read_text()


def test_ansible_itself_keeps_its_output(project: Project) -> None:
    environment = project.environment()
    del environment["ANSIBLE_STDOUT_CALLBACK"]
    done = subprocess.run(
        [*project.write(OK), "--inventory=one,"], cwd=project.root, env=environment, capture_output=True, text=True
    )
    assert "PLAY RECAP" in done.stdout
    assert not project.log.exists()


@pytest.mark.parametrize("action", ["import_role", "include_role"])
def test_failure_of_a_role_is_rescued_around_it(project: Project, action: str) -> None:
    project.role("web", {"block": [OK, task("Try", FAIL, {"msg": "first"})], "always": [OK]})
    role = {"name": "Deploy web", f"ansible.builtin.{action}": {"name": "web"}}
    run = project.run({"block": [role], "rescue": [task("Report", DEBUG, {"msg": "rescued"})]})
    assert run.code == 0
    assert run.lines[1:] == ["ok       Deploy web N s", "Done in N s: nothing changed.", "rescued"]
