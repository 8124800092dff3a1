"""Many clients at once, against the gateway: ``check-user serve`` in one process."""

from __future__ import annotations

import asyncio
import resource
import selectors
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self, TypeAlias

import pytest

from tests.app.serving import resident
from tests.gateway.hop import Hop
from tests.smtp_limits.serving import KNOWN, SmtpClient, SmtpServing

Sessions: TypeAlias = list[SmtpClient]

KIB = 1024
GREETED = 20.0
"""Seconds in which a new client is greeted while others pour as fast as one machine can."""
FOREVER = 1 << 60
HELD = 512 * KIB
"""Octets that are held for a client at most."""
KEPT = 96 * KIB * KIB
"""Octets that the allocator keeps in all."""
LINE = b"x" * 76 + b"\r\n"
ENDLESS = {
    "DATA": (b"DATA\r\n", LINE * 840),
    "a line without end": (b"DATA\r\n", b"x" * 65536),
    "BDAT": (b"BDAT 52000000\r\n", LINE * 840),
    "a command": (b"", b"NOOP " + b"x" * 65536),
}
ANSWERED = {
    "chunks": b"BDAT 3\r\nx\r\n" * 4000,
    "recipients": b"RCPT TO:<anna@example.org>\r\n" * 2000,
}

soak = pytest.mark.soak
idle = pytest.mark.parametrize(
    ("clients", "share"), [(2_000, 0.5), pytest.param(10_000, 0.99, marks=soak)]
)
pouring = pytest.mark.parametrize("clients", [50, pytest.param(500, marks=soak)])


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    """As many descriptors as we may have, for the clients are ours."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def files(serving: SmtpServing) -> int:
    """Its open descriptors."""
    return len(list(Path(f"/proc/{serving.process.pid}/fd").iterdir()))


def wait_for_files(serving: SmtpServing, wanted: int) -> None:
    """Wait until it has closed what its clients have left."""
    deadline = time.monotonic() + 60  # a disk removes what was poured
    while files(serving) > wanted:
        assert time.monotonic() < deadline, f"{files(serving)} descriptors, not {wanted}"
        time.sleep(0.01)


def new_client(serving: SmtpServing) -> float:
    """Seconds until a new client is greeted."""
    began = time.perf_counter()
    with serving.client() as client:
        assert client.greeting.startswith(b"220 ")
        return time.perf_counter() - began


def peak(serving: SmtpServing) -> int:
    """The most memory it had since :func:`in_transaction` (proc(5): VmHWM), in octets."""
    status = Path(f"/proc/{serving.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * KIB


@pytest.mark.fault("PC18")
@idle
def test_idle_clients(tmp_path: Path, clients: int, share: float) -> None:
    """An idle client with a transaction costs 20 KiB at most; a new one is greeted within 50 ms."""
    with SmtpServing(tmp_path) as serving:
        for _ in range(50):
            new_client(serving)
        start, before = files(serving), resident(serving.process.pid)
        with ExitStack() as crowd:
            sessions = [crowd.enter_context(serving.client()) for _ in range(clients)]
            for session in sessions:
                assert session.begin().rcpt(KNOWN) == 250
            assert (resident(serving.process.pid) - before) / clients <= 20 * KIB
            times = sorted(new_client(serving) for _ in range(200))
            assert times[int(share * len(times))] <= 0.05
        wait_for_files(serving, start)


@pytest.mark.fault("GW11", "OS02")
def test_burst(tmp_path: Path) -> None:
    """Of 5,000 connects in a row none waits for a second try, and each is greeted."""
    with SmtpServing(tmp_path) as serving, ExitStack() as crowd:
        new_client(serving)
        slowest = 0.0
        clients = []
        began = time.perf_counter()
        for _ in range(5_000):
            asked = time.perf_counter()
            client = socket.create_connection(("127.0.0.1", serving.port), timeout=10)
            clients.append(crowd.enter_context(client))
            slowest = max(slowest, time.perf_counter() - asked)
        assert slowest < 0.9
        assert time.perf_counter() - began < 5.0
        assert all(client.recv(100).startswith(b"220 ") for client in clients)


@pytest.mark.fault("PC19", "GW11")
@pytest.mark.parametrize("times", [1_000, pytest.param(50_000, marks=soak)])
def test_storm(tmp_path: Path, times: int) -> None:
    """Clients that come and go leave no descriptor behind, and no memory."""
    with SmtpServing(tmp_path) as serving:
        for _ in range(500):
            new_client(serving)
        start, before = files(serving), resident(serving.process.pid)
        for _ in range(times):
            new_client(serving)
        wait_for_files(serving, start)
        assert resident(serving.process.pid) - before < 4 * KIB * KIB


def pour(clients: Sessions, data: bytes, octets: int, seconds: float) -> int:
    """Send it over and over from all of them, as it is taken, and read nothing; octets sent."""
    sent = 0
    with selectors.DefaultSelector() as ready:
        for client in clients:
            client.patience(0.0)
            ready.register(client, selectors.EVENT_WRITE, 0)
        end = time.monotonic() + seconds
        while sent < octets and time.monotonic() < end:
            for key, _ in ready.select(0.1):
                session, position = key.fileobj, key.data
                assert isinstance(session, SmtpClient)
                taken = session.send(data[position:])
                sent += taken
                ready.modify(session, selectors.EVENT_WRITE, (position + taken) % len(data))
    return sent


def in_transaction(serving: SmtpServing, clients: int, first: bytes, end: ExitStack) -> Sessions:
    """Sessions with a recipient each, to which ``first`` was sent; the peak begins anew."""
    sessions = [end.enter_context(serving.client()).begin() for _ in range(clients)]
    assert all(session.rcpt(KNOWN) == 250 for session in sessions)
    for session in sessions:
        session.send(first)
    Path(f"/proc/{serving.process.pid}/clear_refs").write_text("5")
    return sessions


@pytest.mark.fault("GW10", "PC06")
@pouring
@pytest.mark.parametrize("what", ENDLESS)
def test_endless(tmp_path: Path, clients: int, what: str) -> None:
    """Whatever comes without end, from many at once: 512 KiB are held for each at most.

    The event loop reads 256 KiB at once, and a piece of 64 KiB is copied on its way. The allocator
    keeps for each thread what was freed in it, whoever it was for.
    """
    first, more = ENDLESS[what]
    with SmtpServing(tmp_path) as serving:
        new_client(serving)
        start, before = files(serving), resident(serving.process.pid)
        with ExitStack() as crowd:
            sessions = in_transaction(serving, clients, first, crowd)
            most = clients * HELD + KEPT
            assert pour(sessions, more, 2 * most, seconds=60) >= 2 * most
            assert peak(serving) - before < most
            assert new_client(serving) < GREETED
        wait_for_files(serving, start)


@pytest.mark.fault("PC05", "GW12")
@pytest.mark.parametrize("what", ANSWERED)
def test_endless_without_reading(tmp_path: Path, what: str) -> None:
    """From clients that read no replies no more commands are read."""
    limits = {"smtp_max_commands": "999999999", "smtp_max_errors": "999999999"}
    with SmtpServing(tmp_path, **limits) as serving, ExitStack() as crowd:
        before = resident(serving.process.pid)
        sessions = in_transaction(serving, 50, b"", crowd)
        pour(sessions, ANSWERED[what], FOREVER, seconds=3)
        assert peak(serving) - before < 50 * HELD + KEPT
        assert new_client(serving) < GREETED


@pytest.mark.fault("GW10", "GW13")
def test_endless_into_a_queue_that_takes_nothing(tmp_path: Path) -> None:
    """No more is read from clients than the next hop takes: the rest waits in the kernel."""
    first, more = ENDLESS["DATA"]
    with Frozen() as hop:
        queue = f"queue/smtp-forward 127.0.0.1 {hop.port}"
        with SmtpServing(tmp_path, queue) as serving, ExitStack() as crowd:
            before = resident(serving.process.pid)
            sessions = in_transaction(serving, 50, first, crowd)
            pour(sessions, more, FOREVER, seconds=3)
            assert peak(serving) - before < 50 * HELD + KEPT
            assert new_client(serving) < GREETED


class Frozen:
    """A next hop, in a thread, that says 354 and then reads nothing."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._hop = Hop()
        self._hop.reads.clear()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._run(self._hop.__aenter__())
        self.port = self._hop.port
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._hop.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[object, object, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
