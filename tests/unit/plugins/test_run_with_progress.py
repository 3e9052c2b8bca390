"""The action plugin run_with_progress, run by ansible-playbook."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible_collections.cloud_django.kubernetes.plugins.action import run_with_progress as plugin
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.command import (
    Progress,
    environment_of,
    open_output,
    wait,
)
from jinja2 import Template

ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
SETTINGS = {
    "ANSIBLE_CALLBACK_FORMAT_PRETTY": "false",
    "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    "ANSIBLE_LOCALHOST_WARNING": "false",
    "ANSIBLE_NOCOLOR": "true",
    # As at a terminal. Otherwise Python buffers the output for a pipe.
    "PYTHONUNBUFFERED": "1",
    # Without wrapping long lines of errors.
    "COLUMNS": "1000",
}
RESULT = re.compile(r"^(?:ok|changed|fatal): \[localhost\](?:: FAILED!)? => (\{.*\})$", re.MULTILINE)


# Options of a task with only a label.
OPTIONS = dict.fromkeys(("stdin", "log", "chdir", "count", "total")) | {
    "environment": {},
    "label": "The work",
    "interval": 9,
}


class Outcome(NamedTuple):
    """Result of a play with one task."""

    code: int
    result: dict[str, Any]
    output: str


class Play:
    """A play with one task on this host."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "play.yml"
        # An empty configuration, so that the user's configuration is ignored.
        self.config = directory / "ansible.cfg"
        self.config.touch()

    def start(self, options: dict[str, Any], *arguments: str) -> subprocess.Popen[str]:
        task = {"cloud_django.kubernetes.run_with_progress": {"label": "The work"} | options}
        # JSON is valid YAML.
        self.path.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
        return subprocess.Popen(
            [ANSIBLE_PLAYBOOK, "-v", "--inventory", "localhost,", *arguments, self.path],
            cwd=self.directory,
            env=os.environ | SETTINGS | {"ANSIBLE_CONFIG": str(self.config)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, options: dict[str, Any], *arguments: str) -> Outcome:
        process = self.start(options, *arguments)
        try:
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
        found = RESULT.search(output)
        assert found, output
        return Outcome(process.returncode, json.loads(found[1]), output)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    return Play(tmp_path)


def test_command_that_succeeds_is_a_change(play: Play) -> None:
    outcome = play.run({"argv": ["true"]})
    assert outcome.code == 0
    assert outcome.result["changed"] is True
    assert outcome.result["rc"] == 0
    assert 0 <= outcome.result["seconds"] < 10


def test_a_failed_command_is_reported_with_exit_code_and_last_lines(play: Play) -> None:
    outcome = play.run({"argv": ["sh", "-c", "seq -f 'line %g' 30; echo the reason >&2; exit 7"]})
    assert outcome.code != 0
    first, *lines = outcome.result["msg"].splitlines()
    assert first == "The work failed with exit code 7. The last lines:"
    assert lines == [*(f"line {number}" for number in range(12, 31)), "the reason"]


def test_an_early_error_is_reported_first(play: Play) -> None:
    script = "echo Preparing; echo 'ERROR: the port is taken.' >&2; seq 30; echo 'error: giving up'; exit 1"
    first, *lines = play.run({"argv": ["sh", "-c", script]}).result["msg"].splitlines()
    assert first == "The work failed with exit code 1: ERROR: the port is taken. The last lines:"
    assert lines == [*(str(number) for number in range(12, 31)), "error: giving up"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("ERROR: failed to create cluster: no space.", "ERROR: failed to create cluster: no space"),
        ("#12 ERROR: process did not complete", "#12 ERROR: process did not complete"),
        ("E: Unable to locate package", "E: Unable to locate package"),
        ("  error: denied", "error: denied"),
        ("Error response from daemon: conflict", "Error response from daemon: conflict"),
        ("fatal: not a repository", "fatal: not a repository"),
        ("* Exiting due to RSRC_INSUFFICIENT: no.", "Exiting due to RSRC_INSUFFICIENT: no"),
        ("X Exiting due to GUEST_START", "Exiting due to GUEST_START"),
        ("panic: index out of range", "panic: index out of range"),
        ("error " + "x" * 400 + " why", "error " + "x" * 94 + " ... " + "x" * 191 + " why"),
        ("no error: all is well", ""),
        ("errors.go", ""),
        ("Everything: fine", ""),
        ("#12 0.531 Errors: 0", ""),
    ],
)
def test_the_first_line_marked_as_an_error_is_kept(line: str, error: str) -> None:
    progress = Progress({"label": "The work", "interval": 1.0, "total": None, "count": None})
    for text in (line, *map(str, range(30))):
        progress.feed(text)
    assert progress.first_error == error


def test_a_failure_has_the_hints_whose_pattern_matched(play: Play) -> None:
    hints = [
        {"pattern": "too many open files", "text": "Raise fs.inotify.max_user_instances."},
        {"pattern": "no such thing", "text": "Use another one."},
        {"pattern": "files", "text": "Raise fs.inotify.max_user_instances."},
    ]
    script = "echo inotify_init: too many open files; echo more; exit 1"
    outcome = play.run({"argv": ["sh", "-c", script], "hints": hints})
    assert outcome.result["msg"].splitlines()[:3] == [
        "The work failed with exit code 1.",
        "Raise fs.inotify.max_user_instances. The reason: inotify_init: too many open files",
        "The last lines:",
    ]


@pytest.mark.parametrize(
    ("line", "limit", "names"),
    [
        ("Failed to create control group inotify object: Too many open files", 8192, True),
        ("ERROR: failed to create cluster: failed to init node with kubeadm: exit status 1", 128, True),
        ('could not find a log line that matches "Reached target .*Multi-User System.*"', 128, True),
        ("ERROR: failed to create cluster: failed to init node with kubeadm: exit status 1", 8192, False),
        ("ERROR: failed to pull image", 128, False),
    ],
)
def test_a_failure_by_inotify_limits_names_the_limits(line: str, limit: int, names: bool) -> None:
    main = Path(__file__).parents[3] / "roles" / "cluster" / "vars" / "main" / "main.yml"
    variables = yaml.safe_load(main.read_text(encoding="utf-8"))
    known = {"__cluster_inotify_instances": limit}
    known["__cluster_inotify_text"] = Template(variables["__cluster_inotify_text"]).render(known)
    hints = [hint | {"text": Template(hint["text"]).render(known)} for hint in variables["__cluster_hints"]]
    progress = Progress(OPTIONS | {"hints": hints})
    progress.feed(line)
    found = [text for text in progress.hints if "inotify" in text]
    assert [f"allows {limit} per user" in text for text in found] == [True] * names
    assert all("sysctl fs.inotify.max_user_instances" in text for text in found)


def test_the_log_has_the_full_output_and_a_failure_names_it(play: Play, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "work.log"
    outcome = play.run({"argv": ["sh", "-c", "seq 30; echo the reason >&2; exit 1"], "log": str(log)})
    assert f"exit code 1. The full log is in {log}. The last lines:" in outcome.result["msg"]
    assert log.read_text() == "".join(f"{number}\n" for number in range(1, 31)) + "the reason\n"


@pytest.mark.parametrize(
    ("log", "reason"),
    [("/dev/full", "/dev/full: No space left on device"), ("/dev/null/logs/log", "/dev/null/logs: Not a directory")],
)
def test_a_log_that_cannot_be_written_is_an_error_and_terminates_the_command(play: Play, log: str, reason: str) -> None:
    # The command's last output is larger than the buffer of a pipe.
    script = "trap 'seq 99999; exit' TERM; while :; do seq 999; done"
    assert play.run({"argv": ["sh", "-c", script], "log": log}).result["msg"] == (
        f"The work cannot write its log: {reason}. Make the path writable, then rerun the playbook."
    )


@pytest.mark.parametrize("name", ["log", None])
def test_a_full_disk_terminates_a_command_that_ignores_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    """The disk becomes full while the command runs. A limit of the process simulates it."""
    monkeypatch.setattr(plugin, "die_with_parent", lambda: None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    log = str(tmp_path / name) if name else None
    script = "trap '' XFSZ; echo $$ > pid; for i in $(seq 1000); do seq 999; sleep 0.03; done 2>&-; touch over"
    options = OPTIONS | {"argv": ["sh", "-c", script], "log": log}
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))
    try:
        with pytest.raises(AnsibleActionFail, match=rf"cannot write its log: {log or tmp_path}: File too large\. Make"):
            plugin._run(options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert not is_alive(int((tmp_path / "pid").read_text()))
    assert not (tmp_path / "over").exists()


def test_a_directory_that_is_not_writable_is_no_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with open_output(str(tmp_path / "log")) as output:
        monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
        output.check()


def test_creates_skips_completed_work(play: Play, tmp_path: Path) -> None:
    done = tmp_path / "done"
    done.touch()
    outcome = play.run({"argv": ["touch", str(tmp_path / "ran")], "creates": str(done)})
    assert outcome.code == 0
    assert outcome.result["changed"] is False
    assert outcome.result["msg"] == f"{done} exists"
    assert not (tmp_path / "ran").exists()


def test_creates_runs_incomplete_work(play: Play, tmp_path: Path) -> None:
    done = tmp_path / "done"
    assert play.run({"argv": ["touch", str(done)], "creates": str(done)}).result["changed"] is True
    assert done.exists()


def test_check_mode_reports_the_command_without_running_it(play: Play, tmp_path: Path) -> None:
    outcome = play.run({"argv": ["touch", str(tmp_path / "ran")]}, "--check")
    assert outcome.code == 0
    assert outcome.result["changed"] is True
    assert outcome.result["msg"] == "The work: would run touch"
    assert not (tmp_path / "ran").exists()


def test_check_mode_reports_no_change_for_completed_work(play: Play, tmp_path: Path) -> None:
    assert play.run({"argv": ["true"], "creates": str(tmp_path)}, "--check").result["changed"] is False


@contextmanager
def output_of(play: Play, options: dict[str, Any]) -> Iterator[Callable[[str], str]]:
    """Run the task; yield a function that reads the output up to a line and returns the output before it.

    Commands that wait for an action of the test work at any speed of the host.
    """
    process = play.start(options)
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()

    def until(pattern: str) -> str:
        before = ""
        for line in process.stdout:
            if re.fullmatch(pattern, line.rstrip("\n")):
                return before
            before += line
        pytest.fail(f"no line {pattern} in: {before}")

    try:
        yield until
        process.communicate(timeout=60)
        assert process.returncode == 0
    finally:
        watchdog.cancel()
        process.kill()


def test_progress_is_printed_while_the_command_runs(play: Play, tmp_path: Path) -> None:
    script = "for step in 1 2 3; do echo step $step; until [ -e seen$step ]; do sleep 0.05; done; done"
    options = {"argv": ["sh", "-c", script], "chdir": str(tmp_path), "interval": 0.2, "count": "^step", "total": 9}
    with output_of(play, options) as until:
        for step in (1, 2, 3):
            until(rf"  The work: \d+ s, {step} of about 9")
            (tmp_path / f"seen{step}").touch()


def test_a_command_without_output_shows_progress(play: Play, tmp_path: Path) -> None:
    options = {"argv": ["sh", "-c", "until [ -e seen ]; do sleep 0.05; done"], "chdir": str(tmp_path), "interval": 0.2}
    with output_of(play, options) as until:
        for _ in range(2):
            until(r"  The work: \d+ s, no output yet")
        (tmp_path / "seen").touch()


def test_a_short_command_prints_no_progress(play: Play) -> None:
    assert "The work:" not in play.run({"argv": ["echo", "hello"]}).output


def test_long_standard_input_arrives_completely(play: Play, tmp_path: Path) -> None:
    # More than the buffer of a pipe, for a command that prints before it has read all input.
    text = "é = 1\n" * 50_000
    outcome = play.run({"argv": ["cat"], "stdin": text, "log": str(tmp_path / "log")})
    assert outcome.code == 0
    assert (tmp_path / "log").read_text(encoding="utf-8") == text


def test_standard_input_need_not_be_read(play: Play) -> None:
    assert play.run({"argv": ["true"], "stdin": "x" * 200_000}).code == 0


def test_standard_input_is_empty_by_default(play: Play, tmp_path: Path) -> None:
    outcome = play.run({"argv": ["cat"], "log": str(tmp_path / "log")})
    assert outcome.code == 0
    assert (tmp_path / "log").read_text() == ""


def test_environment_is_added_to_that_of_the_controller(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEPT", "from outside")
    monkeypatch.setenv("REPLACED", "from outside")
    options = {
        "argv": ["sh", "-c", 'echo "$KEPT, $REPLACED, $NUMBER"'],
        "environment": {"REPLACED": "from the task", "NUMBER": 5},
        "log": str(tmp_path / "log"),
    }
    play.run(options)
    assert (tmp_path / "log").read_text() == "from outside, from the task, 5\n"


def test_variables_that_change_the_meaning_of_a_command_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_DEFAULT_PLATFORM", "linux/s390x")
    monkeypatch.setenv("PYTHONPATH", "/foreign")
    monkeypatch.setenv("DOCKER_HOST", "unix:///docker.sock")
    found = environment_of({"environment": {"BUILDX_BUILDER": "given"}})
    assert not {"DOCKER_DEFAULT_PLATFORM", "PYTHONPATH"} & found.keys()
    assert (found["DOCKER_HOST"], found["BUILDX_BUILDER"]) == ("unix:///docker.sock", "given")


def test_command_runs_in_the_given_directory(play: Play, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    play.run({"argv": ["touch", "here"], "chdir": str(tmp_path / "there")})
    assert (tmp_path / "there" / "here").exists()


def test_arguments_are_not_interpreted_by_a_shell(play: Play, tmp_path: Path) -> None:
    play.run({"argv": ["echo", "$HOME", "a  b", "; exit 1"], "log": str(tmp_path / "log")})
    assert (tmp_path / "log").read_text() == "$HOME a  b ; exit 1\n"


def test_output_that_is_not_utf_8_is_no_error(play: Play, tmp_path: Path) -> None:
    outcome = play.run({"argv": ["sh", "-c", r"printf 'caf\351\n'; exit 1"], "log": str(tmp_path / "log")})
    assert outcome.result["msg"].endswith("The last lines:\ncaf\N{REPLACEMENT CHARACTER}")
    assert (tmp_path / "log").read_bytes() == b"caf\xe9\n"


def test_a_missing_program_is_reported(play: Play) -> None:
    assert play.run({"argv": ["no-such-program", "--flag"]}).result["msg"] == (
        "The work cannot start: no-such-program: No such file or directory. Install it, or add it to PATH, "
        "then rerun the playbook."
    )


def test_a_missing_directory_is_reported(play: Play, tmp_path: Path) -> None:
    assert play.run({"argv": ["true"], "chdir": str(tmp_path / "gone")}).result["msg"] == (
        f"The work cannot start: {tmp_path}/gone: No such file or directory. Create it, then rerun the playbook."
    )


def test_unknown_option_is_refused(play: Play) -> None:
    outcome = play.run({"argv": ["true"], "command": "true"})
    assert outcome.code != 0
    assert "command" in outcome.result["msg"]


def wait_for[T](found: Callable[[], T], seconds: float) -> T:
    """Return the first true result of `found` within `seconds`, or its last one."""
    deadline = time.monotonic() + seconds
    while not (value := found()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return value


def stat(pid: int) -> list[str]:
    """Return the fields of a process in proc(5), from the third one (state, parent, …); empty if it does not exist."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    return bool(fields := stat(pid)) and fields[0] not in "XZ"


COMMANDS = {
    "the command": "echo $$ > pids.new; mv pids.new pids; exec sleep 60",
    "its children": "sleep 60 & echo $$ $! > pids.new; mv pids.new pids; wait",
}


@pytest.fixture(params=COMMANDS.values(), ids=COMMANDS.keys())
def long_play(
    play: Play, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A play that runs for a minute, and the PIDs of its command."""
    process = play.start({"argv": ["sh", "-c", request.param], "chdir": str(tmp_path), "interval": 0.2})
    pids: list[int] = []
    try:
        assert wait_for(lambda: (tmp_path / "pids").exists() or process.poll() is not None, 60)
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        yield process, pids
    finally:
        process.kill()
        process.communicate()
        for pid in filter(is_alive, pids):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_the_command_terminates_with_the_play(
    long_play: tuple[subprocess.Popen[str], list[int]], number: signal.Signals
) -> None:
    process, pids = long_play
    assert all(map(is_alive, pids))
    process.send_signal(number)
    assert wait_for(lambda: not any(map(is_alive, pids)), 30)


@pytest.mark.parametrize("long_play", [COMMANDS["the command"]], indirect=True, ids=["the command"])
def test_the_command_terminates_with_the_worker_of_ansible(long_play: tuple[subprocess.Popen[str], list[int]]) -> None:
    """A killed worker cannot forward signals, so the kernel terminates the command."""
    process, [pid] = long_play
    worker = int(stat(pid)[1])
    assert worker != process.pid
    os.kill(worker, signal.SIGKILL)
    assert wait_for(lambda: not is_alive(pid), 30)


def test_a_signal_that_interrupts_no_system_call_is_handled() -> None:
    """A signal just before a system call does not interrupt it. Here another thread gets the signal, for certainty."""
    over = threading.Event()
    threading.Thread(target=over.wait, daemon=True).start()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    handled: list[float] = []
    former = signal.signal(signal.SIGUSR1, lambda *_: handled.append(time.monotonic()))
    process = subprocess.Popen(["sleep", "60"])
    try:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        started = time.monotonic()
        while not handled and time.monotonic() - started < 30:
            assert wait(process) is None
        assert handled
    finally:
        process.kill()
        process.wait()
        over.set()
        signal.signal(signal.SIGUSR1, former)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def test_a_background_process_does_not_delay_the_task(play: Play, tmp_path: Path) -> None:
    script = "(while :; do echo more; sleep 0.01; done) & echo $! > pid; echo done"
    started = time.monotonic()
    outcome = play.run({"argv": ["sh", "-c", script], "chdir": str(tmp_path), "log": str(tmp_path / "log")})
    try:
        assert outcome.code == 0
        assert time.monotonic() - started < 60
    finally:
        # It still runs with its output file.
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_lines_are_read_when_they_are_complete(tmp_path: Path) -> None:
    with open_output(str(tmp_path / "log")) as output:
        for text, lines in (
            (b"one\ntw", ["one"]),
            (b"", []),
            (b"o\r50 %\r", ["two"]),
            (b"100 %\r\ncaf\xc3", ["50 %", "100 %"]),
            (b"\xa9\xff\nlast", ["caf\u00e9\ufffd"]),
        ):
            output.file.write(text)
            assert list(output.lines()) == lines
        assert list(output.lines(final=True)) == ["last"]
        output.file.truncate(0)
        output.file.write(b"new\n")
        assert list(output.lines()) == ["new"]


def test_an_error_while_reading_the_output_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: int) -> bytes:
        raise OSError(5, "Input/output error")

    with open_output(str(tmp_path / "log")) as output:
        output.file.write(b"one\n")
        monkeypatch.setattr(os, "pread", fail)
        with pytest.raises(OSError, match="Input/output error"):
            list(output.lines())


def test_an_invalid_pattern_is_an_error_before_the_command_starts(play: Play, tmp_path: Path) -> None:
    outcome = play.run({"argv": ["touch", str(tmp_path / "ran")], "count": "("})
    assert outcome.code != 0
    assert "unterminated" in outcome.result["msg"]
    assert not (tmp_path / "ran").exists()


# A worker of Ansible that gets a signal between the start of the command and the next instruction.
EARLY = """
import os, signal, subprocess, sys, time
from pathlib import Path
from ansible_collections.cloud_django.kubernetes.plugins.action import run_with_progress as plugin

class Slow(subprocess.Popen):
    def __init__(self, argv, **options):
        super().__init__(argv, **options)
        while not Path("pids").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)

signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
subprocess.Popen = Slow
options = dict.fromkeys(("stdin", "log", "chdir", "count", "total")) | {"environment": {}, "label": "x", "interval": 9}
plugin._run(options | {"argv": sys.argv[1:]})
"""


def test_a_signal_during_the_start_of_the_command_terminates_its_children(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", EARLY, "sh", "-c", COMMANDS["its children"]]
    assert subprocess.run(arguments, cwd=tmp_path, timeout=60).returncode == 7
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    try:
        assert wait_for(lambda: not any(map(is_alive, pids)), 30)
    finally:
        for pid in filter(is_alive, pids):
            os.kill(pid, signal.SIGKILL)


def test_a_signal_before_a_command_that_cannot_start_is_not_lost(tmp_path: Path) -> None:
    program = EARLY.replace("super().__init__(argv, **options)", "Path('pids').touch()") + "\n"
    program = program.replace("time.sleep(0.1)", "raise FileNotFoundError(2, 'No such file', argv[0])")
    assert subprocess.run([sys.executable, "-c", program, "none"], cwd=tmp_path, timeout=60).returncode == 7


def test_a_process_whose_parent_has_terminated_terminates() -> None:
    module = "ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.command"
    program = f"import os, sys; from {module} import die_with_parent; die_with_parent(int(sys.argv[1])); print('on')"
    for parent, code, output in ((os.getpid(), 0, "on\n"), (1 << 30, -signal.SIGTERM, "")):
        ended = subprocess.run([sys.executable, "-c", program, str(parent)], capture_output=True, text=True, timeout=60)
        assert (ended.returncode, ended.stdout) == (code, output)


@pytest.mark.parametrize(
    ("options", "lines", "text"),
    [
        ({}, [], "75 s, no output yet"),
        ({}, ["one", "two"], "75 s, two"),
        ({}, ["one", ""], "75 s, one"),
        ({}, ["x" * 300], "75 s, " + "x" * 100),
        ({"count": "^go"}, [], "75 s, 0 steps"),
        ({"count": "^go"}, ["go a", "a go", "go b"], "75 s, 2 steps"),
        ({"count": "^go", "total": 5}, ["go a"], "75 s, 1 of about 5"),
        ({"count": "^go", "total": 1}, ["go a", "go b"], "75 s, 1 of about 1"),
        ({"total": 5}, ["one"], "75 s, one"),
    ],
)
def test_progress_as_text(options: dict[str, Any], lines: list[str], text: str) -> None:
    progress = Progress({"label": "The work", "interval": 1.0, "total": None, "count": None} | options)
    for line in lines:
        progress.feed(line)
    assert progress.describe(75.2) == text
