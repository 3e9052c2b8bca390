# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Run commands at the same time, and each command only once."""

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import MachineError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.copies import Run, execute, last_line

Answer = tuple[int, str, str]


class Once:
    """A :data:`Run` that runs each command only once, even if several threads need its result."""

    def __init__(self, run: Run = execute) -> None:
        self._run = run
        self._answers: dict[tuple[str, ...], Future[Answer]] = {}
        self._lock = Lock()

    def __call__(self, argv: list[str]) -> Answer:
        """Return exit code, output, and error output of a command."""
        with self._lock:
            is_first = tuple(argv) not in self._answers
            answer = self._answers.setdefault(tuple(argv), Future())
        if is_first:
            try:
                answer.set_result(self._run(argv))
            except BaseException as error:
                answer.set_exception(error)
        return answer.result()


def at_once(calls: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Run all functions at the same time and return their results. Raises the first of their errors."""
    with ThreadPoolExecutor(max_workers=max(len(calls), 1)) as pool:
        started = {name: pool.submit(call) for name, call in calls.items()}
        return {name: future.result() for name, future in started.items()}


def no_engine(error: str, result: str) -> MachineError:
    """Return the error for a container engine that does not answer, with the effect."""
    return MachineError(
        "No container engine", f"answers, so {result}: {last_line(error)}", "Start Docker, then rerun the playbook"
    )


def parsed(output: str, command: str) -> Any:
    """Return the JSON output of a command. Raises MachineError if it is not JSON."""
    try:
        return json.loads(output)
    except ValueError:
        raise MachineError(
            f"The command `{command}`", f"printed incomplete JSON: {output[-60:]!r}", "Rerun the playbook"
        ) from None


def copied(run: Run, container: str, path: str) -> str | None:
    """Return the content of a file in a running or stopped container. None if the file is missing."""
    code, output, _ = run(["docker", "cp", f"{container}:{path}", "-"])
    if code:
        return None
    try:
        with tarfile.open(fileobj=io.BytesIO(output.encode()), mode="r:") as tar:
            member = tar.next()
            file = tar.extractfile(member) if member else None
            return file.read().decode() if file else None
    except (tarfile.TarError, UnicodeError):
        return None
