"""Many clients at once, against the gateway: ``check-user serve`` in one process."""

from __future__ import annotations

import resource
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.app.serving import resident
from tests.smtp_limits.serving import KNOWN, SmtpClient, SmtpServing

KIB = 1024
LINE = b"x" * 76 + b"\r\n"
ENDLESS = {
    "DATA": (b"DATA\r\n", LINE * 840),
    "a line without end": (b"DATA\r\n", b"x" * 65536),
    "BDAT": (b"BDAT 52000000\r\n", LINE * 840),
    "small chunks": (b"BDAT 4\r\nx\r\n\r\n", b"BDAT 4\r\nx\r\n\r\n" * 4000),
    "a command": (b"", b"NOOP " + b"x" * 65536),
    "recipients": (b"", b"RCPT TO:<anna@example.org>\r\n" * 2000),
}

soak = pytest.mark.soak
idle = pytest.mark.parametrize(
    ("clients", "share"), [(2_000, 0.5), pytest.param(9_000, 0.99, marks=soak)]
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
    deadline = time.monotonic() + 10
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
    """The most memory it had since :func:`forget_peak` (proc(5): VmHWM), in octets."""
    status = Path(f"/proc/{serving.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * KIB


def forget_peak(serving: SmtpServing) -> None:
    Path(f"/proc/{serving.process.pid}/clear_refs").write_text("5")


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


def pour(clients: list[SmtpClient], data: bytes, seconds: float) -> int:
    """Send it over and over from all of them, as it is taken, and read nothing; octets sent."""
    sent = 0
    with selectors.DefaultSelector() as ready:
        for client in clients:
            client.patience(0.0)
            ready.register(client, selectors.EVENT_WRITE, 0)
        end = time.monotonic() + seconds
        while time.monotonic() < end and ready.get_map():
            for key, _ in ready.select(0.1):
                client, position = key.fileobj, key.data
                assert isinstance(client, SmtpClient)
                try:
                    taken = client.send(data[position:])
                except ConnectionError:
                    ready.unregister(client)
                    continue
                sent += taken
                ready.modify(client, selectors.EVENT_WRITE, (position + taken) % len(data))
    return sent


@pytest.mark.fault("GW10", "PC06")
@pouring
@pytest.mark.parametrize("what", ENDLESS)
def test_endless(tmp_path: Path, clients: int, what: str) -> None:
    """Whatever comes without end, from many at once, 512 KiB of it at most is held for each."""
    first, more = ENDLESS[what]
    limits = {"smtp_max_commands": "999999999", "smtp_max_errors": "999999999"}
    with SmtpServing(tmp_path, **limits) as serving:
        new_client(serving)
        start = files(serving)
        with ExitStack() as crowd:
            sessions = [crowd.enter_context(serving.client()).begin() for _ in range(clients)]
            assert all(session.rcpt(KNOWN) == 250 for session in sessions)
            for session in sessions:
                session.send(first)
            forget_peak(serving)
            before = resident(serving.process.pid)
            sent = pour(sessions, more, clients / 25)
            held = peak(serving) - before
            print(what, clients, sent // KIB, "KiB sent", held // KIB // clients, "KiB each")
            assert sent > 4 * KIB * KIB
            assert held / clients < 512 * KIB
            assert new_client(serving) < 1.0
        wait_for_files(serving, start)
