# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Steps of a playbook: groups of tasks with one title and one result, and the report about them."""

import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from ansible import constants as C
from ansible.playbook.block import Block
from ansible.playbook.role_include import IncludeRole
from ansible.playbook.task import Task
from ansible.playbook.task_include import TaskInclude
from ansible.utils.color import stringc
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.screen import arranged

# How many failures are shown; the log has all of them.
MOST_FAILURES = 3
# The later, the more it matters.
RESULTS = ("skipped", "ok", "changed", "failed")


@dataclass
class Step:
    """A role, or a task outside of roles."""

    title: str
    is_group: bool
    started: float
    result: str = "skipped"
    # Its present task, and the progress of that.
    parts: tuple[str, ...] = ()

    def add(self, result: str) -> None:
        """Take in the result of a task; the step has the one that matters most."""
        self.result = max(self.result, result, key=RESULTS.index)


@dataclass
class Report:
    """Output for the end of the run."""

    warnings: list[str] = field(default_factory=list)
    # For each message its hosts, in the order of the run.
    messages: dict[str, list[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    rescued: list[str] = field(default_factory=list)
    # The results of the steps that have ended.
    results: list[str] = field(default_factory=list)

    def add_messages(self, host: str, texts: list[str]) -> None:
        """Take in messages of a host."""
        for text in texts:
            hosts = self.messages.setdefault(text, [])
            hosts += [] if host in hosts else [host]

    def message_lines(self) -> list[str]:
        """Return the messages, each once; with the name of its site if the sites of a run have different ones."""
        speakers = {host for hosts in self.messages.values() for host in hosts}
        return [
            text if speakers == set(hosts) else f"{', '.join(hosts)}: {text}" for text, hosts in self.messages.items()
        ]

    def summary(self, seconds: float, is_check_mode: bool) -> str:
        """Return the result of a run that has not failed."""
        changed = self.results.count("changed")
        of_steps = f"{changed} of {len(self.results)} steps"
        if is_check_mode:
            would = f"{of_steps} would change" if changed else "nothing would change"
            return f"Check mode, {seconds:.1f} s: {would}."
        return f"Done in {seconds:.1f} s: {f'{of_steps} changed' if changed else 'nothing changed'}."

    def failure_lines(self, with_hosts: bool) -> list[str]:
        """Return what is printed about failures: details first, then the reasons, each once for all of its hosts."""
        hosts: dict[str, list[str]] = {}
        for failure in self.failures or self.rescued[-1:] or [""]:
            host, _, reason = failure.rpartition("\0")
            hosts.setdefault(reason, []).append(host)
        details, lines = [], []
        for reason in list(hosts)[:MOST_FAILURES]:
            output, sentences = arranged(reason)
            if len(hosts) > 1 and len(sentences) > 1:
                # One line for each, so that the last lines of the run have all next steps.
                sentences, between = [" ".join([sentences[0], sentences[-1]])], sentences[1:-1]
                output = [*between, *output]
            details += [f"  {line}" for line in output]
            on = f" on {', '.join(sorted(hosts[reason]))}" if with_hosts and any(hosts[reason]) else ""
            first, *others = sentences or ["The run failed without a message."]
            lines += [f"{stringc(f'Failed{on}:', C.COLOR_ERROR)} {first}", *others]
        rest = len(hosts) - MOST_FAILURES
        return [*details, *lines, *([f"{rest} more failures are in the log."] if rest > 0 else [])]


def step_of(task: Task) -> tuple[str, bool]:
    """Return the title of the step that a task belongs to, and whether it is a group of tasks."""
    group, node = None, task
    while node is not None:
        if isinstance(node, TaskInclude):
            group = node
        node = node._parent
    if group is not None:
        name = group.name or ""
        if name and "{{" not in name:
            return name, True
        return (group._role_name if isinstance(group, IncludeRole) else name_of(task)), True
    return (task._role.get_name().rpartition(".")[2], True) if task._role else (name_of(task), False)


def name_of(task: Task) -> str:
    """Return the name of a task without its role and its file."""
    name = (task.name or task.action or "").rpartition(" | ")[2].strip()
    return name[:1].upper() + name[1:]


def is_rescued(task: Task) -> bool:
    """Return whether a failure of a task leads to a rescue section."""
    # Ansible replaces an imported role by its blocks, so that any of the inner ones can be what the outer one lists.
    inner, node = {task._uuid}, task._parent
    while node is not None:
        if isinstance(node, Block) and node.rescue and any(each._uuid in inner for each in node.block):
            return True
        inner.add(node._uuid)
        node = node._parent
    return False


def texts_of(data: Mapping[str, Any]) -> list[str]:
    """Return the lines of a debug task's result: its message, or its variable."""
    value = data["msg"] if "msg" in data else {key: data[key] for key in data if not key.startswith("_ansible")}
    lines = value if isinstance(value, list) else [value]
    return [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False, default=str) for line in lines]


def reason_of(data: Mapping[str, Any]) -> str:
    """Return why a task failed: its message, and the output of its command."""
    if "censored" in data:
        return str(data["censored"])
    message = str(data.get("msg") or "The task failed without a message.").strip()
    output = str(data.get("stderr") or data.get("stdout") or data.get("module_stderr") or "").strip()
    if not output:
        return message
    return f"{message.rstrip('.')}:{chr(10) if chr(10) in output else ' '}{output}"


def hide_exception(data: MutableMapping[str, Any]) -> None:
    """Remove the error from a result with `no_log`, because Ansible hides the values in all other places only."""
    if "censored" in data:
        data.pop("exception", None)


def first_line(text: str) -> str:
    """Return the first line of a text that is not empty."""
    return next(iter(arranged(text)[1]), "")
