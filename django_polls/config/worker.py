"""A gunicorn worker whose threads are never held up by the network.

A thread of gunicorn's own gthread worker reads the request that it answers, so a few clients that send a byte a second
occupy all threads of a site. Here the main loop reads: a thread gets a request when the last byte of it has arrived.
What is too long, too slow or without a stated length is refused by the main loop, before any of our code sees it.
The probes of a cluster have a thread of their own: a pod that has too much to do is not dead.
"""

import contextlib
import errno
import re
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import Any

from django.db import connections
from gunicorn.workers.gthread import TConn, ThreadWorker

from cloud_django.environment import Environment
from cloud_django.health import probe_paths

# In bytes. The longest honest request is a form in the admin: some kilobytes, after some kilobytes of cookies.
HEAD_LIMIT = 32 * 1024
BODY_LIMIT = 512 * 1024
# For all unfinished requests of a worker together: a pod has little memory, and each client may open many connections.
UNFINISHED_LIMIT = 32 * 1024 * 1024
READ_SIZE = 64 * 1024
# In seconds. How long a request may take to arrive, and how long we listen to a client after its last answer: one that
# is cut off while it sends never sees it.
REQUEST_SECONDS = Environment().number("WEB_REQUEST_SECONDS", 20, least=1, most=3600)
ENDING_SECONDS = 2
# How long a client may take for an answer, and how much of it may wait for the client, in seconds and bytes.
ANSWER_SECONDS = 3 * REQUEST_SECONDS
ANSWER_LIMIT = 4 * 1024 * 1024
# How long nobody may have come before we stop listening, in seconds.
QUIET_SECONDS = 1.0
# The kernel's limit to what a thread waits for, should gunicorn ever read more than we saw.
STALLED_SECONDS = 5
# For how long nobody may have got an answer before the probes have to wait as well: then the threads hang.
STUCK_SECONDS = 60

END_OF_HEAD = b"\r\n\r\n"
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:[ \t]*(\d+)[ \t]*(?=\r\n)", re.IGNORECASE)
TRANSFER_ENCODING = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.IGNORECASE)
EXPECT = re.compile(rb"\r\nexpect[ \t]*:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)


class RefusedRequestError(Exception):
    """A request that no thread shall see; carries the status of the answer."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class PatientSocket(socket.socket):
    """A socket that makes no thread wait for its reader: what the kernel does not take is kept for the main loop."""

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(fileno=accepted.detach())
        self.unsent = bytearray()
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", STALLED_SECONDS, 0))

    def sendall(self, data: bytes, flags: int = 0) -> None:
        self.unsent += data
        self.flush()
        if len(self.unsent) > ANSWER_LIMIT:
            self.unsent.clear()
            raise BrokenPipeError(errno.EPIPE, "The client does not read")

    def flush(self) -> None:
        """Send what the kernel takes now."""
        with contextlib.suppress(BlockingIOError):
            while self.unsent:
                del self.unsent[: self.send(self.unsent, socket.MSG_DONTWAIT)]


class Connection(TConn):
    """A connection, with what has been received of its next request."""

    def __init__(self, cfg: Any, accepted: socket.socket, *addresses: Any) -> None:
        super().__init__(cfg, PatientSocket(accepted), *addresses)
        # gunicorn's own wait for the first byte, which it does in a thread, is done here.
        self.data_ready = True
        self.received = bytearray()
        self.length = 0
        self.counted = 0
        self.is_ending = False
        # Events come in batches, and the one before may have closed it.
        self.is_gone = False

    @property
    def is_silent(self) -> bool:
        """Whether the client has not begun to ask, and waits for nothing."""
        return not self.received and not self.sock.unsent

    def init(self) -> None:
        """Called in the thread that answers: hand what was received to gunicorn's parser."""
        super().init()
        self.parser.unreader.unread(bytes(self.received))
        self.received.clear()
        self.length = 0

    def is_complete(self) -> bool:
        """Whether a whole request has been received. Raises RefusedRequestError for one that shall not be answered."""
        if self.length == 0 and not self.measure():
            return False
        return len(self.received) >= self.length

    def measure(self) -> bool:
        """Compute how long the request will be, once its head is there, and say so to a client that waits for that."""
        # Empty lines before a request are allowed, and would look like the end of its head.
        while self.received.startswith((b"\r\n", b"\n")):
            del self.received[: 2 if self.received.startswith(b"\r\n") else 1]
        end = self.received.find(END_OF_HEAD)
        if end < 0 and len(self.received) <= HEAD_LIMIT:
            return False
        if not 0 <= end <= HEAD_LIMIT:
            raise RefusedRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        head = bytes(self.received[: end + 2])
        if TRANSFER_ENCODING.search(head):
            raise RefusedRequestError(HTTPStatus.LENGTH_REQUIRED)
        # Of several, or of what is no number, gunicorn complains without reading any further.
        lengths = CONTENT_LENGTH.findall(head)
        digits = lengths[0].lstrip(b"0") if lengths else b""
        body = int(digits[:10] or b"0")
        if body > BODY_LIMIT:
            raise RefusedRequestError(HTTPStatus.CONTENT_TOO_LARGE)
        self.length = end + len(END_OF_HEAD) + body
        if body and len(self.received) < self.length and b" HTTP/1.1\r\n" in head and EXPECT.search(head):
            self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def answer(self, status: HTTPStatus) -> None:
        """Refuse the request, without a thread."""
        sentence = f"{status.value} {status.phrase}: {status.description or status.phrase}.\n".encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(sentence)}\r\nConnection: close\r\nCache-Control: no-store\r\n\r\n"
        )
        with contextlib.suppress(OSError):
            self.sock.send(head.encode() + sentence)


class PatientWorker(ThreadWorker):
    """gunicorn's worker with threads, which get requests that have wholly arrived."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.unfinished_bytes = 0
        # How many requests the threads have and what waits before them, and when one was answered.
        self.in_hand = 0
        self.last_answer = 0.0
        self.is_stopping = False
        self.last_arrival = 0.0
        self.last_moment = 0.0

    def init_process(self) -> None:
        self.probe_pool = ThreadPoolExecutor(max_workers=1)
        self.set_probes(probe_paths())
        super().init_process()

    def set_probes(self, paths: Iterable[str]) -> None:
        """Say which requests are probes."""
        self.probe = re.compile(b"(?:GET|HEAD) (?:%b) " % b"|".join(re.escape(path.encode()) for path in paths))

    def enqueue_req(self, conn: Connection) -> None:
        """Hand a request to a thread. Nobody restarts or avoids a pod for having a queue, so probes pass it."""
        if self.passes_the_queue(conn):
            answer = self.probe_pool.submit(self.answer_probe, conn)
            answer.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))
            return
        if not self.in_hand:
            self.last_answer = time.monotonic()
        self.in_hand += 1
        answer = self.tpool.submit(self.handle, conn)
        answer.add_done_callback(lambda done: self.method_queue.defer(self.on_answered, conn, done))

    def answer_probe(self, connection: Connection) -> Any:
        """Called in the probes' thread. Whoever sizes a database counts one connection for each other thread."""
        try:
            return self.handle(connection)
        finally:
            connections.close_all()

    def passes_the_queue(self, connection: Connection) -> bool:
        """Whether this is a probe, and there is a queue, and it moves."""
        moves = time.monotonic() - self.last_answer < STUCK_SECONDS
        return self.in_hand >= self.cfg.threads and moves and self.probe.match(connection.received) is not None

    def on_answered(self, connection: Connection, future: "Future[Any]") -> None:
        """Called when a thread is free again."""
        self.in_hand -= 1
        self.last_answer = time.monotonic()
        self.finish_request(connection, future)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Called for SIGTERM: go on as before until nobody comes any more, but ask everybody to come back elsewhere.

        The nodes are told at the same time as we are, and a busy one is late: what it goes on sending would be refused.
        """
        if not self.is_stopping:
            self.is_stopping = True
            self.last_arrival = time.monotonic()
            self.last_moment = self.last_arrival + self.cfg.graceful_timeout / 2
            self.await_quiet()

    def await_quiet(self) -> None:
        """Stop once a second has passed without a new connection, or when it gets late."""
        now = time.monotonic()
        quiet_at = min(self.last_arrival + QUIET_SECONDS, self.last_moment)
        if now >= quiet_at:
            self.alive = False
            return
        timer = threading.Timer(quiet_at - now, self.method_queue.defer, [self.await_quiet])
        timer.daemon = True
        timer.start()

    def handle_request(self, req: Any, conn: Connection) -> bool:
        if self.is_stopping:
            req.force_close()
        return super().handle_request(req, conn)

    def accept(self, listener: socket.socket) -> None:
        self.make_room()
        try:
            client, address = listener.accept()
        except OSError:  # Gone again, or taken by another worker.
            return
        self.last_arrival = time.monotonic()
        self.nr_conns += 1
        self.await_request(Connection(self.cfg, client, address, listener.getsockname()))

    def make_room(self) -> None:
        """A worker that is full would accept nobody: whoever has been silent for longest has to go.

        First of those who have had an answer, then of those who have not begun to ask.
        """
        if self.nr_conns < self.worker_connections - 1:
            return
        if self.keepalived_conns:
            idle = self.keepalived_conns.popleft()
            self.poller.unregister(idle.sock)
            self.close(idle)
        elif self.pending_conns:
            ending = (connection for connection in self.pending_conns if connection.is_ending)
            silent = (connection for connection in self.pending_conns if connection.is_silent)
            self.drop(next(ending, None) or next(silent, None) or self.pending_conns[0])

    def await_request(self, connection: Connection) -> None:
        """Read from now on what comes on a connection, until it is a request."""
        self.read_on(connection, REQUEST_SECONDS if connection.received else max(self.cfg.keepalive, REQUEST_SECONDS))

    def read_on(self, connection: Connection, seconds: float) -> None:
        connection.timeout = time.monotonic() + seconds
        connection.sock.setblocking(False)
        self.pending_conns.append(connection)
        readable = partial(self.on_pending_socket_readable, connection)
        self.poller.register(connection.sock, selectors.EVENT_READ, readable)

    def on_client_socket_readable(self, conn: Connection, client: socket.socket) -> None:
        """Called when a client that was kept waits no longer: it asks again, or leaves."""
        if conn.is_gone:
            return
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self.await_request(conn)
        self.on_pending_socket_readable(conn, client)

    def on_pending_socket_readable(self, conn: Connection, client: socket.socket) -> None:
        """Called when more of a request has come."""
        if conn.is_gone:
            return
        try:
            data = client.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.drop(conn)
        elif not conn.is_ending:
            if not conn.received:
                conn.timeout = time.monotonic() + REQUEST_SECONDS
            conn.received += data
            self.consider(conn)

    def consider(self, connection: Connection) -> None:
        """Hand a request to a thread if it is complete."""
        try:
            complete = connection.is_complete()
        except RefusedRequestError as refused:
            self.refuse(connection, refused.status)
            return
        except OSError:
            self.drop(connection)
            return
        # Counted until a thread is done with it, since there may be a queue before them.
        self.count(connection, len(connection.received))
        if self.give_up_largest() is not connection and complete:
            self.forget(connection)
            self.enqueue_req(connection)

    def give_up_largest(self) -> Connection | None:
        """Return the connection that has to go since too much waits in memory, if it does."""
        if self.unfinished_bytes <= UNFINISHED_LIMIT:
            return None
        largest = max(self.pending_conns, key=lambda pending: pending.counted)
        if largest.sock.unsent:  # In the middle of an answer there is no room for another.
            self.drop(largest)
        else:
            self.refuse(largest, HTTPStatus.SERVICE_UNAVAILABLE)
        return largest

    def count(self, connection: Connection, size: int) -> None:
        self.unfinished_bytes += size - connection.counted
        connection.counted = size

    def finish_request(self, conn: Connection, fs: "Future[Any]") -> None:
        """Called when a thread is done with a request, and again when its answer has been sent."""
        self.count(conn, len(conn.sock.unsent))
        if conn.sock.unsent:
            self.send_on(conn, fs)
        elif fs.cancelled() or fs.exception() is not None or fs.result() is not True:
            # gunicorn's own goodbye waits here for the client, and with this loop everybody else does.
            self.end(conn)
        elif ahead := conn.parser.unreader.take_buffered():
            # What a client has sent ahead may be a part of its next request only.
            conn.received += ahead
            self.await_request(conn)
            self.consider(conn)
        else:
            super().finish_request(conn, fs)

    def send_on(self, connection: Connection, future: "Future[Any]") -> None:
        """Send from now on what a client has not taken yet."""
        try:
            connection.sock.setblocking(False)
            self.poller.register(connection.sock, selectors.EVENT_WRITE, partial(self.on_writable, connection, future))
        except (OSError, ValueError):  # gunicorn has closed it.
            self.count(connection, 0)
            self.close(connection)
            return
        connection.timeout = time.monotonic() + ANSWER_SECONDS
        self.pending_conns.append(connection)
        self.give_up_largest()

    def on_writable(self, connection: Connection, future: "Future[Any]", _: socket.socket) -> None:
        """Called when a client has taken some of its answer."""
        if connection.is_gone:
            return
        try:
            connection.sock.flush()
        except OSError:
            self.drop(connection)
            return
        if not connection.sock.unsent:
            self.forget(connection)
            self.finish_request(connection, future)

    def murder_pending(self) -> None:
        """Called about once a second: give up requests that do not come."""
        now = time.monotonic()
        for connection in [pending for pending in self.pending_conns if pending.timeout <= now]:
            if connection.received and not connection.is_ending:
                self.refuse(connection, HTTPStatus.REQUEST_TIMEOUT)
            else:
                self.drop(connection)

    def _cap_keepalive(self, deadline: float) -> None:
        """Called once when the worker stops: those who have not begun to ask do not hold it up."""
        super()._cap_keepalive(deadline)
        for connection in self.pending_conns:
            if connection.is_silent:
                connection.timeout = min(connection.timeout, deadline)

    def refuse(self, connection: Connection, status: HTTPStatus) -> None:
        self.log.info(
            "Refused a request from %s: %s.",
            connection.client[0] if connection.client else "a Unix socket",
            status.phrase,
        )
        self.forget(connection)
        connection.answer(status)
        self.end(connection)

    def end(self, connection: Connection) -> None:
        """Say that no more will come, and read a little longer only to throw away, so that the answer is seen."""
        connection.is_ending = True
        connection.received.clear()
        self.count(connection, 0)
        try:
            connection.sock.shutdown(socket.SHUT_WR)
            self.read_on(connection, ENDING_SECONDS)
        except (OSError, ValueError):  # The client has closed it already, or gunicorn has.
            self.close(connection)

    def forget(self, connection: Connection) -> None:
        self.poller.unregister(connection.sock)
        self.pending_conns.remove(connection)

    def drop(self, connection: Connection) -> None:
        self.forget(connection)
        self.count(connection, 0)
        self.close(connection)

    def close(self, connection: Connection) -> None:
        connection.is_gone = True
        self.nr_conns -= 1
        connection.close()
