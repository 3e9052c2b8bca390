"""Clients that send slowly, too much or nothing at all hold nobody up."""

import contextlib
import logging
import select
import socket
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from selectors import DefaultSelector
from types import SimpleNamespace

import pytest
from django.db import connection, transaction

from config.worker import ANSWER_LIMIT, STUCK_SECONDS, UNFINISHED_LIMIT, Connection, PatientSocket, PatientWorker
from polls.models import Question
from testing import Server

pytestmark = pytest.mark.django_db(transaction=True)
Connect = Callable[..., socket.socket]
GET = b"GET /livez HTTP/1.1\r\nHost: testserver\r\n\r\n"
CLOSING = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
# Seconds. Whoever had to wait for other clients would wait for twice as long.
LONGEST_ANSWER = 10
# The few threads of one worker, which gunicorn's own worker would lose to as many slow clients.
FEW = {"WEB_CONCURRENCY": "1", "WEB_THREADS": "2"}


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Open a connection to a server and send something."""
    with contextlib.ExitStack() as stack:

        def open_one(server: Server, data: bytes = b"", receive_buffer: int = 0) -> socket.socket:
            client = stack.enter_context(socket.socket())
            if receive_buffer:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            client.settimeout(20)
            client.connect(("127.0.0.1", server.port))
            if data:
                client.sendall(data)
            return client

        yield open_one


def everything(client: socket.socket) -> bytes:
    """All that comes until the server closes."""
    parts = []
    while data := client.recv(65536):
        parts.append(data)
    return b"".join(parts)


def longest_file(server: Server) -> str:
    """The path of a file that no small buffer holds."""
    style = server.get("/admin/login/")[2].split('rel="stylesheet" href="')[1].split('"')[0]
    return f"{style.rpartition('/admin/')[0]}/admin/js/vendor/select2/select2.full.js"


def usual_answer(
    server: Server, path: str = "/", times: int = 10, before: Callable[[], object] = lambda: None
) -> float:
    """Seconds for the median of some requests. A busy machine is late with some, but none waits for other clients."""
    seconds = []
    for _ in range(times):
        before()
        started = time.monotonic()
        assert server.get(path)[0] == 200
        seconds.append(time.monotonic() - started)
    assert max(seconds) < LONGEST_ANSWER
    return statistics.median(seconds)


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"G",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: testserver\r\nX-Slow: ",
        b"POST /polls/1/vote/ HTTP/1.1\r\nHost: testserver\r\nContent-Length: 100\r\n\r\nchoice=",
    ],
)
def test_500_slow_clients(start: Callable[..., Server], question: Question, connect: Connect, beginning: bytes) -> None:
    server = start(**FEW)
    slow = [connect(server, beginning) for _ in range(500)]
    assert usual_answer(server) < 2
    for client in slow:
        client.sendall(b"x" if beginning else b"\r\n")
    assert usual_answer(server) < 2


def test_what_does_not_arrive_in_time_is_given_up(start: Callable[..., Server], connect: Connect) -> None:
    server = start(WEB_REQUEST_SECONDS="2", WEB_KEEPALIVE="2", **FEW)
    started = time.monotonic()
    silent, slow = connect(server), connect(server, GET[:20])
    answer = everything(slow)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert everything(silent) == b""
    assert 1.5 < time.monotonic() - started < 6


def test_who_reads_slowly_holds_nobody_up(start: Callable[..., Server], question: Question, connect: Connect) -> None:
    server = start(**FEW)
    script = longest_file(server)
    request = f"GET {script} HTTP/1.1\r\nHost: testserver\r\n\r\n".encode()
    for times in [1] * 50 + [30] * 20:
        connect(server, request * times, receive_buffer=1)
    assert usual_answer(server) < 2


def test_who_reads_slowly_gets_everything(start: Callable[..., Server], connect: Connect) -> None:
    server = start(**FEW)
    script = longest_file(server)
    whole = server.get(script)[2].encode()
    request = f"GET {script} HTTP/1.1\r\nHost: testserver\r\n"
    # More than the kernel takes off our hands.
    times = 50
    client = connect(server, receive_buffer=1)
    client.sendall(f"{request}\r\n".encode() * (times - 1) + f"{request}Connection: close\r\n\r\n".encode())
    time.sleep(1)
    answer = everything(client)
    assert answer.count(whole) == answer.count(b"HTTP/1.1 200 OK") == times


def test_who_never_reads_is_given_up(start: Callable[..., Server], connect: Connect) -> None:
    server = start(WEB_REQUEST_SECONDS="1", **FEW)
    script = longest_file(server)
    request = f"GET {script} HTTP/1.1\r\nHost: testserver\r\n\r\n".encode()
    client = connect(server, request * 30, receive_buffer=1)
    time.sleep(6)
    received = b""
    with contextlib.suppress(ConnectionError):
        received = everything(client)
    assert received.count(b"HTTP/1.1 200 OK") < 30


def test_a_long_answer_reaches_who_reads_and_breaks_off_for_others() -> None:
    near, far = socket.socketpair()
    with PatientSocket(near) as patient, far:
        with pytest.raises(BrokenPipeError):
            patient.sendall(bytes(3 * ANSWER_LIMIT))
        assert not patient.unsent
        reader = threading.Thread(target=everything, args=[far], daemon=True)
        reader.start()
        for _ in range(3 * ANSWER_LIMIT // 65536):
            patient.sendall(bytes(65536))
            while patient.unsent:
                patient.flush()
        patient.shutdown(socket.SHUT_WR)
        reader.join(timeout=20)
        assert not reader.is_alive()


@pytest.fixture
def unstarted() -> PatientWorker:
    """A worker whose loop does not run, for states that no client can bring about for sure."""
    worker = PatientWorker.__new__(PatientWorker)
    worker.keepalived_conns, worker.pending_conns = deque(), deque()
    worker.poller, worker.nr_conns, worker.unfinished_bytes = DefaultSelector(), 0, 0
    worker.log, worker.cfg = logging.getLogger(__name__), SimpleNamespace(keepalive=75)
    return worker


@pytest.fixture
def pend(unstarted: PatientWorker) -> Iterator[Callable[[bytes, bytes], tuple[Connection, socket.socket]]]:
    """A connection that has sent something and waits for something, and its client."""
    with contextlib.ExitStack() as stack:

        def make(received: bytes, unsent: bytes) -> tuple[Connection, socket.socket]:
            near, far = socket.socketpair()
            stack.enter_context(far)
            connection = Connection(unstarted.cfg, near, ("192.0.2.1", 1), None)
            stack.enter_context(connection.sock)
            connection.received += received
            connection.sock.unsent += unsent
            unstarted.nr_conns += 1
            unstarted.await_request(connection)
            unstarted.count(connection, len(received) + len(unsent))
            return connection, far

        yield make


def test_a_stop_waits_for_who_reads_and_for_who_asks(
    unstarted: PatientWorker, pend: Callable[[bytes, bytes], tuple[Connection, socket.socket]]
) -> None:
    reads, asks, silent = (pend(*state)[0] for state in [(b"", b"answer"), (b"GET", b""), (b"", b"")])
    unstarted._cap_keepalive(5)
    assert silent.timeout == 5
    assert min(reads.timeout, asks.timeout) > 5


def test_a_full_memory_breaks_an_answer_off_and_refuses_a_request(
    unstarted: PatientWorker, pend: Callable[[bytes, bytes], tuple[Connection, socket.socket]]
) -> None:
    reads, reader = pend(b"", bytes(2 * UNFINISHED_LIMIT))
    asks, asker = pend(bytes(UNFINISHED_LIMIT + 1), b"")
    assert unstarted.give_up_largest() is reads
    assert reader.recv(100) == b""
    assert unstarted.give_up_largest() is asks
    assert asker.recv(100).startswith(b"HTTP/1.1 503 ")
    assert unstarted.give_up_largest() is None
    assert (unstarted.unfinished_bytes, unstarted.nr_conns) == (0, 1)


def test_a_probe_that_passed_the_queue_keeps_no_connection_to_the_database(
    unstarted: PatientWorker,
) -> None:
    opened, results = [], []

    def handle(_: object) -> bool:
        connection.ensure_connection()
        opened.append(connection.connection)
        return True

    unstarted.handle = handle
    unstarted.cfg.threads = unstarted.in_hand = 2
    unstarted.last_answer = time.monotonic()
    unstarted.set_probes(["/alive"])
    unstarted.method_queue = SimpleNamespace(defer=lambda call, *arguments: call(*arguments))
    unstarted.finish_request = lambda _, future: results.append(future.result())
    with ThreadPoolExecutor(max_workers=1) as unstarted.probe_pool:
        unstarted.enqueue_req(SimpleNamespace(received=bytearray(b"GET /alive HTTP/1.1")))
    assert results == [True]
    assert opened[0].closed


def test_who_does_not_hang_up_holds_nobody_up(
    start: Callable[..., Server], question: Question, connect: Connect
) -> None:
    server = start(**FEW)
    clients = [connect(server, CLOSING) for _ in range(50)]
    assert usual_answer(server) < 1
    assert all(everything(client).startswith(b"HTTP/1.1 200 OK\r\n") for client in clients)


def test_a_full_worker_still_accepts(start: Callable[..., Server], question: Question, connect: Connect) -> None:
    server = start(GUNICORN_CMD_ARGS="--worker-connections=20", **FEW)
    for _ in range(30):
        connect(server, GET[:-1])
    assert usual_answer(server) < 2
    for _ in range(30):
        assert connect(server, GET).recv(15) == b"HTTP/1.1 200 OK"
    assert usual_answer(server) < 2
    # Clients that leave at the very moment when room is made for others.
    for _ in range(300):
        connect(server, CLOSING).recv(65536)
        connect(server, GET[:5]).close()
    # Twice as many as there is room for, who do not hang up: who comes after them would wait for their end.
    assert usual_answer(server, times=5, before=lambda: [connect(server, CLOSING) for _ in range(45)]) < 1
    assert "Worker exiting" not in server.log.read_text()
    assert "Traceback" not in server.log.read_text()


def answers(client: socket.socket, number: int) -> int:
    """How many whole answers of /livez have come, which is the number that is waited for or more."""
    received = b""
    while received.count(b"ok\n\r\n0\r\n\r\n") < number:
        data = client.recv(65536)
        assert data, received
        received += data
    return received.count(b"HTTP/1.1 200 OK")


def test_requests_in_pieces_and_ahead_of_time(start: Callable[..., Server], connect: Connect) -> None:
    server = start(**FEW)
    client = connect(server)
    for number in range(len(GET)):
        client.sendall(GET[number : number + 1])
    assert answers(client, 1) == 1
    client.sendall(GET + GET + GET[:10])
    assert answers(client, 2) == 2
    client.settimeout(0.5)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(20)
    client.sendall(GET[10:])
    assert answers(client, 1) == 1
    # Empty lines before a request are allowed.
    client.sendall(b"\r\n\r\n" + GET)
    assert answers(client, 1) == 1


def test_a_client_that_asks_before_it_sends(start: Callable[..., Server], connect: Connect) -> None:
    server = start(**FEW)
    head = b"POST /livez HTTP/1.1\r\nHost: testserver\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
    client = connect(server, head + b"Connection: close\r\n\r\n")
    assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sendall(b"12345")
    assert b"HTTP/1.1 405" in everything(client)


TRICKS = [
    (b"GET / HTTP/1.1\r\nHost: testserver\r\nX-Long: " + b"x" * 40_000, b"431"),
    (b"GET / HTTP/1.1\r\n" + b"X-Many: 1\r\n" * 4000, b"431"),
    (b"GET / HTTP/1.1\r\nHost: testserver\r\n" + b"X-Many: 1\r\n" * 100 + b"\r\n", b"431"),
    (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: testserver\r\n\r\n", b"414"),
    (b"POST / HTTP/1.1\r\nHost: testserver\r\nContent-Length: 600000\r\n\r\n", b"413"),
    (b"POST / HTTP/1.1\r\nHost: testserver\r\nContent-Length: 99999999999999999999\r\n\r\n", b"413"),
    (b"POST / HTTP/1.1\r\nHost: testserver\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", b"413"),
    (b"POST / HTTP/1.1\r\nHost: testserver\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", b"400"),
    (b"POST / HTTP/1.1\r\nHost: testserver\r\nContent-Length: -1\r\n\r\n", b"400"),
    (b"POST / HTTP/1.1\r\nHost: testserver\r\nContent-Length: abc\r\n\r\n", b"400"),
    (b"POST / HTTP/1.1\r\nHost: testserver\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n", b"411"),
    (b"POST / HTTP/1.1\r\nHost: testserver\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
    (b"POST / HTTP/1.1\r\nHost: testserver\r\nTransfer-Encoding : chunked\r\n\r\n", b"411"),
    (b"nonsense\r\n\r\n", b"400"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
    (b"GET / HTTP/9.9\r\nHost: testserver\r\n\r\n", b"400"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: testserver\r\n\r\n", b"400"),
    (b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", b"400"),
]


def test_tricks_are_refused(start: Callable[..., Server], connect: Connect) -> None:
    server = start(**FEW)
    wrong = []
    for request, status in TRICKS:
        started = time.monotonic()
        answer = everything(connect(server, request))
        if answer.split(b" ", 2)[1] != status or time.monotonic() - started > 4:
            wrong.append((request[:100], answer, time.monotonic() - started))
    assert wrong == []
    assert server.get("/livez")[0] == 200
    assert "Traceback" not in server.log.read_text()


def test_unfinished_requests_cannot_fill_the_memory(start: Callable[..., Server], connect: Connect) -> None:
    server = start(**FEW)
    head = b"POST / HTTP/1.1\r\nHost: testserver\r\nContent-Length: 500001\r\n\r\n"
    waiting = [connect(server, head + b"x" * 500_000) for _ in range(100)]
    assert server.get("/livez")[0] == 200
    # 64 of half a million bytes are what a worker keeps.
    until = time.monotonic() + 20
    while len(waiting) > 70:
        assert time.monotonic() < until
        time.sleep(0.1)
        waiting = [client for client in waiting if not refused(client)]
    assert server.get("/livez")[0] == 200


def refused(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return b" 503 " in client.recv(100)
    except OSError:
        return False


def test_connections_without_a_request_do_not_hold_up_the_stop(start: Callable[..., Server], connect: Connect) -> None:
    server = start(**FEW)
    silent = [connect(server) for _ in range(20)]
    kept = connect(server, GET)
    assert answers(kept, 1) == 1
    started = time.monotonic()
    server.process.terminate()
    assert server.process.wait(timeout=20) == 0
    assert time.monotonic() - started < 6
    assert all(everything(client) == b"" for client in silent)


def test_a_request_under_way_is_answered_before_the_stop(start: Callable[..., Server], connect: Connect) -> None:
    server = start(**FEW)
    client = connect(server, GET[:-10])
    time.sleep(0.3)
    server.process.terminate()
    time.sleep(1)
    client.sendall(GET[-10:])
    answer = everything(client)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"Connection: close" in answer
    assert server.process.wait(timeout=20) == 0


def one_answer(client: socket.socket) -> bytes:
    """What comes until the answer is complete, however long the server keeps the connection."""
    answer = b""
    while not answer.endswith(b"0\r\n\r\n"):
        data = client.recv(65536)
        assert data, answer
        answer += data
    return answer


def test_who_comes_after_the_signal_is_answered(start: Callable[..., Server], connect: Connect) -> None:
    server = start(**FEW)
    kept = connect(server, GET)
    assert b"\r\nConnection: keep-alive\r\n" in one_answer(kept)
    server.process.terminate()
    signalled = time.monotonic()
    closing = []
    last, late = signalled, False
    while time.monotonic() - signalled < 3 or (closing.count(True) < 3 and time.monotonic() - signalled < 20):
        came = time.monotonic()
        try:
            client = connect(server)
            came = time.monotonic()
            client.sendall(GET)
            answer = one_answer(client)
        except OSError:
            # On a busy machine we may be the one who is late.
            late = came - last > 0.7
            assert late
            break
        last = came
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        closing.append(b"\r\nConnection: close\r\n" in answer)
        time.sleep(0.05)
    # The signal comes by way of the master, a moment later.
    assert closing == sorted(closing)
    assert late or closing.count(True) >= 3
    assert server.process.wait(timeout=20) == 0


def test_a_stop_comes_even_if_people_do_not_stop_coming(start: Callable[..., Server], connect: Connect) -> None:
    server = start(WEB_GRACEFUL_TIMEOUT="20", **FEW)
    signalled = came = time.monotonic()
    server.process.terminate()
    longest_pause = 0.0
    with contextlib.suppress(OSError):
        while time.monotonic() - signalled < 30:
            last, came = came, time.monotonic()
            longest_pause = max(longest_pause, came - last)
            if not everything(connect(server, CLOSING)).startswith(b"HTTP/1.1 200 OK\r\n"):
                break
            time.sleep(0.1)
    # Half of the time, and two seconds for those who do not hang up; less only if on a busy machine nobody came.
    assert longest_pause > 0.7 or time.monotonic() - signalled > 9.5
    assert time.monotonic() - signalled < 18
    assert server.process.wait(timeout=20) == 0


def test_a_busy_pod_answers_its_probes(start: Callable[..., Server], question: Question, connect: Connect) -> None:
    """There are more visitors than threads, who all wait for a table that somebody keeps to himself."""
    server = start(**FEW)
    assert server.get("/readyz")[0] == 200
    asked = f"GET /polls/{question.pk}/results.json HTTP/1.1\r\nHost: testserver\r\n\r\n".encode()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE polls_question, polls_choice IN ACCESS EXCLUSIVE MODE")
        visitors = [connect(server, asked) for _ in range(9)]
        time.sleep(0.5)
        assert usual_answer(server, "/livez", times=3) < 1
        assert usual_answer(server, "/readyz", times=3) < 1
        answered = select.select(visitors, [], [], 0)[0]
        assert len(visitors) - len(answered) > int(FEW["WEB_THREADS"]), "There was no queue to pass."
    for visitor in visitors:
        assert visitor.recv(9) == b"HTTP/1.1 "


@pytest.mark.parametrize(
    ("request_line", "in_hand", "since", "passes"),
    [
        (b"GET /alive HTTP/1.1", 2, 0, True),
        (b"HEAD /re.dy HTTP/1.1", 2, STUCK_SECONDS - 5, True),
        (b"GET /re.dy HTTP/1.1", 2, STUCK_SECONDS + 5, False),
        (b"GET /alive HTTP/1.1", 1, 0, False),
        (b"GET /ready HTTP/1.1", 2, 0, False),
        (b"GET /alive2 HTTP/1.1", 2, 0, False),
        (b"GET /?/alive HTTP/1.1", 2, 0, False),
        (b"POST /alive HTTP/1.1", 2, 0, False),
    ],
)
def test_who_passes_the_queue(
    unstarted: PatientWorker, request_line: bytes, in_hand: int, since: float, passes: bool
) -> None:
    """Probes only, and only if there is a queue that moves: threads that hang are a reason to restart."""
    unstarted.cfg.threads = 2
    unstarted.set_probes(["/alive", "/re.dy"])
    unstarted.in_hand, unstarted.last_answer = in_hand, time.monotonic() - since
    assert unstarted.passes_the_queue(SimpleNamespace(received=bytearray(request_line))) is passes


def test_a_queue_moves_from_its_first_request_to_its_last_answer(unstarted: PatientWorker) -> None:
    futures: list[Future[bool]] = [Future(), Future()]
    unstarted.cfg.threads = 2
    unstarted.set_probes(["/alive"])
    unstarted.in_hand, unstarted.last_answer = 0, time.monotonic() - 2 * STUCK_SECONDS
    unstarted.tpool = SimpleNamespace(submit=lambda *_: futures[unstarted.in_hand - 1])
    unstarted.method_queue = SimpleNamespace(defer=lambda call, *arguments: call(*arguments))
    unstarted.finish_request = lambda *_: None
    probe = SimpleNamespace(received=bytearray(b"GET /alive HTTP/1.1"))
    for _ in futures:
        assert not unstarted.passes_the_queue(probe)
        unstarted.enqueue_req(SimpleNamespace(received=bytearray(b"GET / HTTP/1.1")))
    assert unstarted.passes_the_queue(probe)
    for future in futures:
        future.set_result(True)
        assert not unstarted.passes_the_queue(probe)
