"""Action plugin that runs a long command on the control node and prints its progress."""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import options_of
from ansible_collections.cloud_django.kubernetes.plugins.modules.run_with_progress import DOCUMENTATION
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils import command
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.command import Progress, die_with_parent


class ActionModule(ActionBase):
    """The controller's side of :mod:`run_with_progress`; its documentation is in the module of that name."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the command, print a line every `interval` seconds, and return its result."""
        result = super().run(tmp, task_vars)
        _, options = self.validate_argument_spec(options_of(DOCUMENTATION))
        if options["creates"] and Path(options["creates"]).exists():
            return result | {"changed": False, "rc": 0, "msg": f"{options['creates']} exists"}
        if self._task.check_mode:
            return result | {"changed": True, "msg": f"{options['label']}: would run {options['argv'][0]}"}

        started = time.monotonic()
        code, progress = _run(options)
        if code:
            raise AnsibleActionFail(_failure(options, code, progress))
        return result | {"changed": True, "rc": 0, "seconds": round(time.monotonic() - started, 1)}


def _failure(options: dict[str, Any], code: int, progress: Progress) -> str:
    """Return the error for a failed command: its first error line, the path of the log, hints, and the last lines."""
    why = f": {progress.first_error}" if progress.first_error else ""
    where = f" The full log is in {options['log']}." if options["log"] else ""
    hints = [f"{sentence} The reason: {line}" for sentence, line in progress.hints.items()]
    return "\n".join(
        [
            f"{options['label']} failed with exit code {code}{why}.{where}",
            *hints,
            "The last lines:",
            *progress.last_lines,
        ]
        if hints
        else [f"{options['label']} failed with exit code {code}{why}.{where} The last lines:", *progress.last_lines]
    )


def _run(options: dict[str, Any]) -> tuple[int, Progress]:
    """Run the command of `options`; return its exit code and its progress."""
    die_with_parent()
    progress = Progress(options)
    with contextlib.ExitStack() as stack:
        # A file, because a pipe would block if the command prints before it has read all input.
        stdin = stack.enter_context(tempfile.TemporaryFile(mode="w+", encoding="utf-8"))
        stdin.write(options["stdin"] or "")
        stdin.seek(0)
        with _log_errors(options):
            output = stack.enter_context(command.open_output(options["log"]))
        set_command = stack.enter_context(command.forwarded_signals())
        process = command.start(options, stdin, output.file)
        stack.callback(command.end, process)
        set_command(process)
        code = None
        while code is None:
            code = command.wait(process)
            for line in output.lines(code is not None):
                progress.feed(line.rstrip())
            with _log_errors(options):
                output.check()
            if code is None:
                progress.show()
        return code, progress


@contextlib.contextmanager
def _log_errors(options: dict[str, Any]) -> Iterator[None]:
    """Convert an error of the log's file system to an error for the user."""
    try:
        yield
    except OSError as error:
        raise AnsibleActionFail(
            f"{options['label']} cannot write its log: {error.filename or options['log']}: {error.strerror}. "
            "Make the path writable, then rerun the playbook."
        ) from None
