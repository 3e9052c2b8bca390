"""Report to the kubelet whether the project accepts connections, without using a thread of the project.

A server that hangs leaves connections in the accept queue of its port. A busy server accepts them, because requests
without a free thread wait in the front. The state of a process shows whether it is stopped.
Arguments: the port of the project, the port of the front or 0, and the seconds to wait.
"""

# ruff: noqa: PTH110, PTH123, PTH208 - importing pathlib would double the time of the probe.
import os
import socket
import sys
import time

PROCESSES = "/proc"
LISTENING = "0A"


def state_and_parent(number: str) -> list[str]:
    """Return the state of a process and the PID of its parent."""
    try:
        with open(f"{PROCESSES}/{number}/stat") as status:
            return status.read().rpartition(") ")[2].split()[:2]
    except OSError:  # The process has exited.
        return ["", "0"]


def is_of_project(number: str) -> bool:
    """Return whether a process is PID 1 or a descendant, unlike the processes of `kubectl exec`."""
    while number not in ("0", "1"):
        number = state_and_parent(number)[1]
    return number == "1"


def stopped_process() -> str:
    """Return the PID of a process of the project that a signal has stopped, or an empty string."""
    for number in filter(str.isdigit, os.listdir(PROCESSES)):
        if state_and_parent(number)[0] in ("T", "t") and is_of_project(number):
            return number
    return ""


def queued(port: int) -> int:
    """Return the number of connections in the accept queue."""
    found = 0
    for name in ("tcp", "tcp6"):
        if not os.path.exists(f"/proc/net/{name}"):
            continue
        with open(f"/proc/net/{name}") as lines:
            next(lines)
            for _, local, _, state, queues, *_ in map(str.split, lines):
                # Listening sockets come first, before possibly thousands of connections.
                if state != LISTENING:
                    break
                if local.endswith(f":{port:04X}"):
                    found += int(queues.rpartition(":")[2], 16)
    return found


def is_open(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def problem(port: int, front: int, seconds: float) -> str:
    """Return the problem, or an empty string."""
    if stopped := stopped_process():
        return f"Process {stopped} of the project is stopped."
    until = time.monotonic() + seconds
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=seconds)
    except OSError as error:
        if front and is_open(front):
            return f"The project listens on port {front} of the front. Configure it for 127.0.0.1:{port}."
        return f"The project does not listen on 127.0.0.1:{port}: {error.strerror or error}."
    with connection:
        while queued(port):
            if time.monotonic() > until:
                return f"No process of the project accepts connections on 127.0.0.1:{port}."
            time.sleep(0.05)
    return ""


if __name__ == "__main__":
    sys.exit(problem(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])) or 0)
