"""Many clients at once, against a door that is a process of its own."""

from __future__ import annotations

import resource
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers.door_process import DoorProcess, door_process

QUESTION = b"anna@example.org\n"
KNOWN = b"DECLINED known\n"

loops = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
crowds = pytest.mark.parametrize(
    "clients", [2_000, pytest.param(10_000, marks=pytest.mark.soak)], ids=str
)


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    """As many descriptors as we may have, for the clients are ours."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(door: DoorProcess) -> socket.socket:
    if door.address.startswith("inet:"):
        return socket.create_connection(("127.0.0.1", door.port), timeout=10)
    client = socket.socket(socket.AF_UNIX)
    client.connect(door.address.removeprefix("unix:"))  # waits for room in the queue
    client.settimeout(10)
    return client


def ask(client: socket.socket) -> bytes:
    """One answer; nothing if the door has closed."""
    try:
        client.sendall(QUESTION)
        return client.recv(100)
    except ConnectionError:
        return b""


def new_client(door: DoorProcess) -> float:
    """Seconds until a new client has its answer."""
    began = time.perf_counter()
    with connect(door) as client:
        assert ask(client) == KNOWN
    return time.perf_counter() - began


def wait_for_files(door: DoorProcess, wanted: int) -> None:
    """Wait until the door has closed what its clients have left."""
    deadline = time.monotonic() + 5
    while door.files() > wanted:
        assert time.monotonic() < deadline, f"{door.files()} descriptors, not {wanted}"
        time.sleep(0.01)


@pytest.mark.fault("PC18")
@loops
@crowds
def test_idle_clients(loop: str, clients: int, tmp_path: Path) -> None:
    """An idle client costs at most 20 KiB, and a new one has its answer within 50 ms."""
    with door_process(loop, f"unix:{tmp_path}/line.sock") as door, ExitStack() as crowd:
        for _ in range(50):
            new_client(door)
        before = door.resident()
        idle = [crowd.enter_context(connect(door)) for _ in range(clients)]
        assert all(ask(client) == KNOWN for client in idle)
        assert (door.resident() - before) / clients <= 20 * 1024
        assert statistics.median(new_client(door) for _ in range(50)) <= 0.05


@pytest.mark.fault("OS02")
@loops
@pytest.mark.parametrize("address", ["inet:127.0.0.1:0", "unix"])
def test_burst(loop: str, address: str, tmp_path: Path) -> None:
    """None of 5,000 connects in a row waits for a second try, and each has its answer."""
    if address == "unix":
        address = f"unix:{tmp_path}/line.sock"
    with door_process(loop, address) as door, ExitStack() as crowd:
        slowest = 0.0
        clients = []
        began = time.perf_counter()
        for _ in range(5_000):
            asked = time.perf_counter()
            clients.append(crowd.enter_context(connect(door)))
            slowest = max(slowest, time.perf_counter() - asked)
        assert slowest < 0.9
        assert time.perf_counter() - began < 5.0
        assert all(ask(client) == KNOWN for client in clients)


@pytest.mark.fault("PC19")
@loops
@pytest.mark.parametrize("times", [1_000, pytest.param(50_000, marks=pytest.mark.soak)], ids=str)
def test_storm(loop: str, times: int) -> None:
    """Clients that come and go, over TCP, leave no descriptor behind."""
    with door_process(loop, "inet:127.0.0.1:0") as door:
        new_client(door)
        files = door.files()
        for _ in range(times):
            new_client(door)
        wait_for_files(door, files)


@pytest.mark.fault("OS01")
@loops
def test_out_of_descriptors(loop: str) -> None:
    """With 64 descriptors and 100 clients half of the descriptors stay free; the rest is closed."""
    with door_process(loop, "inet:127.0.0.1:0", files=64) as door, ExitStack() as crowd:
        new_client(door)
        empty = door.files()
        clients = [crowd.enter_context(connect(door)) for _ in range(100)]
        answers = [ask(client) for client in clients]
        assert (answers.count(KNOWN), answers.count(b"")) == (32, 68)
        assert door.files() <= empty + 32
        before = door.seconds()
        time.sleep(1.0)  # the time over which the processor's is measured
        assert door.seconds() - before < 0.1
        assert ask(clients[answers.index(KNOWN)]) == KNOWN
        for client in clients:
            client.close()
        wait_for_files(door, empty)
        assert new_client(door) < 1.0


@pytest.mark.fault("PC21", "PC20")
def test_killed(tmp_path: Path) -> None:
    """After ``kill -9`` the clients see the end at once, and a new door takes the path over."""
    address = f"unix:{tmp_path}/line.sock"
    with door_process("asyncio", address) as door, connect(door) as client:
        assert ask(client) == KNOWN
        door.process.kill()
        assert client.recv(1) == b""
        door.process.wait(5)
    assert (tmp_path / "line.sock").is_socket()
    with door_process("asyncio", address) as door:
        assert new_client(door) < 5.0


@pytest.mark.fault("OS06")
@loops
def test_standard_output_closed(loop: str, tmp_path: Path) -> None:
    """A door whose standard output nobody reads any more serves on."""
    with door_process(loop, f"unix:{tmp_path}/line.sock") as door:
        assert door.process.stdout is not None
        door.process.stdout.close()
        assert new_client(door) < 5.0
