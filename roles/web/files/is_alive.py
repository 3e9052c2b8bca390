"""Report to the kubelet whether the project takes connections, without one of its threads.

A server that hangs leaves connections in the queue of its port, where the kernel completes them without it. A server
that is busy takes them: what it has no thread for waits in the front. A process that is stopped is found by its state.
Arguments: the port of the project, that of the front or 0, and the seconds to wait.
"""

# ruff: noqa: PTH110, PTH123, PTH208 - to import pathlib would take as long as all the rest.
import os
import socket
import sys
import time

PROCESSES = "/proc"
LISTENING = "0A"


def state_and_parent(number: str) -> list[str]:
    """Return the state of a process and the number of its parent."""
    try:
        with open(f"{PROCESSES}/{number}/stat") as status:
            return status.read().rpartition(") ")[2].split()[:2]
    except OSError:  # It has ended.
        return ["", "0"]


def is_of_project(number: str) -> bool:
    """Return whether a process is the container's first or descends from it, which none of `kubectl exec` does."""
    while number not in ("0", "1"):
        number = state_and_parent(number)[1]
    return number == "1"


def stopped_process() -> str:
    """Return the number of a process of the project that a signal has stopped, or nothing."""
    for number in filter(str.isdigit, os.listdir(PROCESSES)):
        if state_and_parent(number)[0] in ("T", "t") and is_of_project(number):
            return number
    return ""


def queued(port: int) -> int:
    """Return how many connections wait until a process takes them."""
    found = 0
    for name in ("tcp", "tcp6"):
        if not os.path.exists(f"/proc/net/{name}"):
            continue
        with open(f"/proc/net/{name}") as lines:
            next(lines)
            for _, local, _, state, queues, *_ in map(str.split, lines):
                # Ports that are listened on come first, before what may be thousands of connections.
                if state != LISTENING:
                    break
                if local.endswith(f":{port:04X}"):
                    found += int(queues.rpartition(":")[2], 16)
    return found


def is_open(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def complaint(port: int, front: int, seconds: float) -> str:
    """Return what is wrong, or nothing."""
    if stopped := stopped_process():
        return f"Process {stopped} of the project is stopped."
    until = time.monotonic() + seconds
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=seconds)
    except OSError as error:
        if front and is_open(front):
            return f"The project listens on port {front}, which is the front's. Let it listen on 127.0.0.1:{port}."
        return f"The project does not listen on 127.0.0.1:{port}: {error.strerror or error}."
    with connection:
        while queued(port):
            if time.monotonic() > until:
                return f"No process of the project takes connections on 127.0.0.1:{port}."
            time.sleep(0.05)
    return ""


if __name__ == "__main__":
    sys.exit(complaint(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])) or 0)
