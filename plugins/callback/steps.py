# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Stdout callback plugin for `make`: a line per step instead of several per task."""

DOCUMENTATION = r"""
name: steps
type: stdout
short_description: Print a line per role, and what to do about a failure
version_added: 0.1.0
description:
  - Prints a line for each step of a playbook with its result and its duration. A step is a role, a file of tasks that
    the play includes, or a task of the play itself that changed something or took 5 seconds.
  - A step that takes longer shows its duration and progress. A terminal updates that line in place; other output gets a
    line every 10 seconds.
  - Warnings and the messages of C(ansible.builtin.debug) follow at the end.
  - A failure ends with the thing, the reason, the next step, and the path of the log. SIGTERM acts as a Ctrl-C.
  - The log has the output of P(ansible.builtin.default#callback), with the same values hidden.
  - C(make) selects this plugin. Without it, and with C(make V=1), Ansible prints its own output.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as stdout in configuration
options:
  log:
    description: New file for the full output, readable by its owner only. Unset, there is none.
    type: path
    env:
      - name: CLOUD_DJANGO_LOG
  title:
    description: First line, for example the command and its inventory. Unset, there is none.
    type: str
    default: ''
    env:
      - name: CLOUD_DJANGO_TITLE
  answer_only:
    description: Whether to print messages, warnings and failures only, for a command whose output is its answer.
    type: bool
    default: false
    env:
      - name: CLOUD_DJANGO_ANSWER_ONLY
"""

import atexit
import multiprocessing
import os
import signal
import sys
import threading
import time
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.errors import ExitCode
from ansible.executor.task_result import CallbackTaskResult
from ansible.playbook.task import Task
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as Default
from ansible.utils.color import stringc
from ansible.utils.display import Display
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.run_log import LogDisplay, RunLog
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.screen import (
    Screen,
    plain,
    progress_of,
    row,
    status_of,
    without_controls,
)
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.steps import (
    RESULTS,
    Report,
    Step,
    first_line,
    hide_exception,
    is_rescued,
    name_of,
    reason_of,
    step_of,
    texts_of,
)

COLORS = {"ok": C.COLOR_OK, "changed": C.COLOR_CHANGED, "failed": C.COLOR_ERROR}
# Seconds after which a step that changed nothing is worth a line.
LONG = 5.0
# Seconds without a line after which one is printed where none can be updated in place.
SILENCE = 9.4
TICK = 0.5  # Seconds between two updates in place.
# Seconds that Ansible has to stop after a Ctrl-C. It sometimes hangs if that comes while it starts a process.
GRACE = 5.0
_INTERRUPTED = "User interrupted execution"
# Ansible prints it with each deprecation.
_NOISE = "Deprecation warnings can be disabled"


class CallbackModule(Default):
    """Prints steps, and writes the default callback's output to a log."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "cloud_django.kubernetes.steps"

    def __init__(self) -> None:
        super().__init__()
        self.display = self._display
        self._display = LogDisplay(self.display, self.record)
        self.screen = Screen(sys.stdout)
        # Output that is no answer goes to standard error if only answers are wanted.
        self.notices = self.screen
        self.report = Report()
        self.step: Step | None = None
        self.started = time.monotonic()
        self.log = RunLog()
        self.process = os.getpid()
        self.stop = threading.Event()
        # When a Ctrl-C or SIGTERM came, and whether it waits until Ansible has started a process.
        self.interrupted: float | None = None
        self.has_ended = self.is_deferred = False
        self.playbooks = 0
        self.hosts: set[str] = set()
        # The reasons of items that failed, by host and task.
        self.items: dict[tuple[str, str], list[str]] = {}

    # --- Output ---------------------------------------------------------------------------------------------------

    def route(self, msg: str, color: str | None = None, stderr: bool = False, **options: Any) -> None:
        """Take the place of Display.display: decide what of Ansible's own texts is shown, and when."""
        if self.display._final_q or self.has_ended:
            # A task's process sends the text to this one.
            Display.display(self.display, msg, color=color, stderr=stderr, **options)
            return
        with self.display._lock:
            if not options.get("screen_only"):
                self.record(msg, color)
            text = plain(msg).strip()
            if options.get("log_only") or self._display.is_recording_error or not text:
                return
            if text.startswith(("[WARNING]: ", "[DEPRECATION WARNING]: ")):
                first = text.partition("]: ")[2].partition("\n")[0]
                if not first.startswith(_NOISE) and first not in self.report.warnings:
                    self.report.warnings.append(first)
            elif text.startswith("[ERROR]: "):
                if _INTERRUPTED in text:
                    self.interrupted = self.interrupted or time.monotonic()
                elif not self.interrupted:
                    self.report.failures.append(text.partition("]: ")[2].partition("\nOrigin: ")[0])
            elif (progress := progress_of(msg)) is not None:
                if self.step:
                    self.step.parts = progress
            elif color not in (C.COLOR_VERBOSE, C.COLOR_DEBUG):
                self.screen.clear()
                self.notices.line(msg.rstrip("\n"))

    def record(self, msg: str, color: str | None = None) -> None:
        """Write a text to the log, and to Ansible's own if that is configured."""
        Display.display(self.display, msg, color=color, log_only=True)
        if problem := self.log.write(plain(msg)):
            self.report.warnings.append(problem)

    def _tick(self) -> None:
        """Show from time to time how far the present step is, and see that an interrupted run stops."""
        while not self.stop.wait(TICK):
            if self.is_deferred:
                self.is_deferred = False
                os.kill(self.process, signal.SIGINT)
            elif self.interrupted and time.monotonic() - self.interrupted > GRACE:
                for child in multiprocessing.active_children():
                    child.terminate()
                if self.display._lock.acquire(timeout=1):
                    self._leave()
                os._exit(ExitCode.KEYBOARD_INTERRUPT)
            # Ansible starts no process while it is locked.
            with self.display._lock:
                if self.step and not self.stop.is_set():
                    self._show_status(self.step)

    def _interrupt(self, number: int, frame: Any) -> None:
        """Handle a Ctrl-C, but not while Ansible starts a process: it would lose the signal, or wait forever."""
        if os.getpid() != self.process:
            # Ansible sends it to its processes itself.
            return
        # It can come twice, from `make` and from the system. The second one would end the run without a last line.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.interrupted = self.interrupted or time.monotonic()
        if self.display._lock._is_owned():
            self.is_deferred = True
            return
        try:
            # After a SIGTERM, Ansible would end without a word.
            self.former(signal.SIGINT, frame)
        except ValueError:
            # Ansible asks a process that has ended.
            raise KeyboardInterrupt from None

    def _show_status(self, step: Step) -> None:
        seconds = time.monotonic() - step.started
        is_due = seconds >= 1 if self.screen.is_live else self.screen.silence >= SILENCE
        if is_due and (self.screen.is_live or not self.get_option("answer_only")):
            self.screen.status(status_of(seconds, (step.title, *step.parts), self.screen.width))

    # --- Steps ----------------------------------------------------------------------------------------------------

    def _begin(self, task: Task) -> None:
        """Start the step that a task belongs to, unless it is the present one."""
        title, is_group = step_of(task)
        with self.display._lock:
            if not self.step or self.step.title != title:
                self._finish()
                self.step = Step(title, is_group, time.monotonic())
            self.step.parts = (name_of(task),)

    def _finish(self, mark: str = "") -> None:
        """Print the line of the present step."""
        step, self.step = self.step, None
        self.screen.clear()
        if not step:
            return
        seconds = time.monotonic() - step.started
        is_shown = mark or seconds >= LONG or RESULTS.index(step.result) >= (1 if step.is_group else 2)
        if is_shown:
            self.report.results.append(step.result)
        if is_shown and not self.get_option("answer_only"):
            word = f"{mark or step.result:<9}"
            text = row(word, step.title, seconds, self.screen.width)
            self.screen.line((word if mark or step.result not in COLORS else stringc(word, COLORS[step.result])) + text)

    def _add(self, result: CallbackTaskResult, word: str) -> None:
        """Take in the result of a task on one host."""
        with self.display._lock:
            self.hosts.add(result.host.get_name())
            if self.step and not (word != "failed" and isinstance(result.task, TaskInclude)):
                self.step.add(word)

    def _fail(self, result: CallbackTaskResult, reason: str) -> None:
        """Take in a failure."""
        self._add(result, "ok" if is_rescued(result.task) else "failed")
        text = f"{result.host.get_name()}\0{reason}"
        (self.report.rescued if is_rescued(result.task) else self.report.failures).append(text)

    # --- Ansible's events -----------------------------------------------------------------------------------------

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Start."""
        self.playbooks += 1
        if self.playbooks > 1:
            # Another playbook of the same command.
            super().v2_playbook_on_start(playbook)
            return
        if (path := self.get_option("log")) and not self.get_option("answer_only") and (problem := self.log.open(path)):
            self.report.warnings.append(problem)
        if self.get_option("answer_only"):
            self.notices = Screen(sys.stderr)
        self.display.display = self.route
        atexit.register(self._leave)
        if callable(former := signal.getsignal(signal.SIGINT)):
            self.former = former
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._interrupt)
        super().v2_playbook_on_start(playbook)
        if title := self.get_option("title"):
            self.record(title)
            self.screen.line(title)
        threading.Thread(target=self._tick, daemon=True).start()

    def v2_playbook_on_vars_prompt(self, *arguments: Any, **options: Any) -> None:
        """Leave the terminal to a question."""
        with self.display._lock:
            self._finish()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Start a play."""
        with self.display._lock:
            self._finish()
        super().v2_playbook_on_play_start(play)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Warn about a play that does nothing."""
        self.report.warnings.append("A play has no host, so its tasks were not run.")

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:
        """Start a task."""
        self._begin(task)
        super().v2_playbook_on_task_start(task, is_conditional)

    def v2_playbook_on_handler_task_start(self, task: Task) -> None:
        """Start a handler."""
        self._begin(task)
        super().v2_playbook_on_handler_task_start(task)

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Take in a success, and keep the message of a debug task for the end."""
        self._add(result, "changed" if result.is_changed() else "ok")
        if not (result.task.loop and "results" in result.result):
            self._keep_message(result)
        super().v2_runner_on_ok(result)

    def v2_runner_item_on_ok(self, result: CallbackTaskResult) -> None:
        """Keep the message of one item of a debug task."""
        self._keep_message(result)
        super().v2_runner_item_on_ok(result)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Take in a failure."""
        items = self.items.pop((result.host.get_name(), result.task._uuid), [])
        reason = "\n".join(dict.fromkeys(items)) or reason_of(result.result)
        if ignore_errors:
            self._add(result, "ok")
            self.report.warnings.append(f"{name_of(result.task)} failed, which is ignored: {first_line(reason)}")
        else:
            self._fail(result, reason)
        hide_exception(result.result)
        super().v2_runner_on_failed(result, ignore_errors)

    def v2_runner_item_on_failed(self, result: CallbackTaskResult) -> None:
        """Keep the reason of an item for the result of its task."""
        self.items.setdefault((result.host.get_name(), result.task._uuid), []).append(reason_of(result.result))
        hide_exception(result.result)
        super().v2_runner_item_on_failed(result)

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """Take in a host that cannot be reached."""
        if result.task.ignore_unreachable:
            self._add(result, "ok")
            self.report.warnings.append(f"Host {result.host.get_name()} is unreachable, which is ignored.")
        else:
            self._add(result, "failed")
            self.report.failures.append(f"{result.host.get_name()}\0{reason_of(result.result)}")
        super().v2_runner_on_unreachable(result)

    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        """Take in a task that had nothing to do."""
        self._add(result, "skipped")
        super().v2_runner_on_skipped(result)

    def v2_runner_retry(self, result: CallbackTaskResult) -> None:
        """Show that a task is tried again."""
        with self.display._lock:
            if self.step:
                self.step.parts = (name_of(result.task), f"attempt {result.result.get('attempts', 1) + 1}")
        super().v2_runner_retry(result)

    def v2_on_file_diff(self, result: CallbackTaskResult) -> None:
        """Print what a task changes, as `--diff` asks for."""
        data = result.result
        for each in data.get("results", [data]) if result.task.loop else [data]:
            if each.get("diff") and each.get("changed") and (text := self._get_diff(each["diff"])):
                with self.display._lock:
                    self.record(text)
                    self.screen.line(text.rstrip("\n"))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Print the report."""
        super().v2_playbook_on_stats(stats)
        totals = map(stats.summarize, stats.processed)
        has_failed = any(total["failures"] or total["unreachable"] for total in totals)
        if has_failed or self.playbooks == len(context.CLIARGS["args"]):
            self._conclude(has_failed)

    # --- The end --------------------------------------------------------------------------------------------------

    def _keep_message(self, result: CallbackTaskResult) -> None:
        """Keep the message of a debug task, unless it is hidden."""
        if result.task.action not in C._ACTION_DEBUG or result.is_skipped() or "censored" in result.result:
            return
        data = dict(result.result)
        self._clean_results(data, result.task.action)
        with self.display._lock:
            self.report.add_messages(result.host.get_name(), texts_of(data))

    def _conclude(self, has_failed: bool, mark: str = "") -> None:
        """Print warnings, the result, and messages; after a failure, its reason at the end."""
        with self.display._lock:
            self.stop.set()
            self._finish(mark)
            for warning in self.report.warnings:
                self.notices.line(f"{stringc('Warning:', C.COLOR_WARN)} {warning}")
            if not has_failed and not mark and not self.get_option("answer_only"):
                is_check_mode = bool(context.CLIARGS.get("check"))
                self.screen.line(self.report.summary(time.monotonic() - self.started, is_check_mode))
            for message in self.report.message_lines():
                self.screen.line(without_controls(message).rstrip("\n"))
            if has_failed:
                for line in self.report.failure_lines(len(self.hosts) > 1):
                    self.notices.line(line)
            if (has_failed or mark) and self.log.path and not self.interrupted:
                self.screen.line(f"Full log: {self.log.path}")
            # Ansible gets its display back.
            self.has_ended = True
            self.display.__dict__.pop("display", None)

    def _leave(self) -> None:
        """Print the end of a run that Ansible broke off: at a Ctrl-C, or at an error outside of tasks."""
        if self.has_ended or os.getpid() != self.process:
            return
        with self.display._lock:
            if self.interrupted:
                self.screen.clear_echo()
            self._conclude(bool(self.report.failures) and not self.interrupted, "stopped" if self.step else "")
            if self.interrupted:
                self.notices.line(f"The run was interrupted.{f' Full log: {self.log.path}' if self.log.path else ''}")
