"""Several processes behind the same sockets: what one's end does to the others, and to clients."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.serving import Line, Serving, configure
from tests.peers.process import alive, descendants, wait_until

KNOWN = "DECLINED known"
CLIENTS = 16


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A supervisor with two workers."""
    with Serving(tmp_path, configure(tmp_path, workers="2")) as running:
        yield running


def connect(folder: Path) -> Line:
    return Line(folder / "line.sock")


def ask(client: Line) -> str:
    """The answer, or nothing where the connection is gone."""
    try:
        return client.ask("anna@example.org")
    except (BrokenPipeError, ConnectionResetError):
        return ""


@pytest.mark.fault("OS09", "PC21")
def test_a_dead_worker_is_replaced(serving: Serving, tmp_path: Path) -> None:
    """A killed worker takes its own connections along and nobody else's; within a second there is
    another, and whoever connects meanwhile is served."""
    supervisor = serving.process.pid
    first, second = descendants(supervisor)
    clients = [connect(tmp_path) for _ in range(CLIENTS)]
    assert [ask(client) for client in clients] == [KNOWN] * CLIENTS
    os.kill(first, signal.SIGKILL)
    began = time.monotonic()
    with connect(tmp_path) as new:
        assert ask(new) == KNOWN
    assert wait_until(lambda: len(descendants(supervisor)) == 2 and not alive(first), 5)
    assert second in descendants(supervisor)
    assert wait_until(lambda: len(serving.logged("signal 9")) == 1, 5)
    assert time.monotonic() - began < 2.0
    kept = [ask(client) for client in clients]
    assert set(kept) == {KNOWN, ""}, "both workers had clients, and one of them still has"
    for client in clients:
        client.close()


def test_workers_share_the_clients(serving: Serving, tmp_path: Path) -> None:
    """Clients that come together are spread: no worker has all of them."""
    workers = descendants(serving.process.pid)
    before = [descriptors(pid) for pid in workers]
    clients = [connect(tmp_path) for _ in range(CLIENTS)]
    assert [ask(client) for client in clients] == [KNOWN] * CLIENTS
    taken = [descriptors(pid) - had for pid, had in zip(workers, before, strict=True)]
    assert sum(taken) >= CLIENTS
    assert min(taken) >= 2
    for client in clients:
        client.close()


def descriptors(pid: int) -> int:
    """How many a process has open (proc(5))."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_workers_end_with_their_supervisor(serving: Serving) -> None:
    """When the supervisor is killed, its workers end by themselves."""
    workers = descendants(serving.process.pid)
    assert len(workers) == 2
    serving.process.kill()
    serving.process.wait()
    assert wait_until(lambda: not any(alive(pid) for pid in workers), 5)
    with pytest.raises(AssertionError):  # it was no good end, and the fixture would say so
        serving.__exit__(None, None, None)
    serving.process.returncode = 0


def test_a_reload_that_one_worker_cannot_do_changes_nothing(
    serving: Serving, tmp_path: Path
) -> None:
    """All workers take a new configuration over, or none does."""
    configure(tmp_path, workers="2", email_table="nosuch")
    serving.reload()
    assert wait_until(lambda: len(serving.logged("not reloaded")) == 1, 5)
    for _ in range(CLIENTS):
        with connect(tmp_path) as client:
            assert ask(client) == KNOWN


def test_counts_add_up(tmp_path: Path) -> None:
    """At the end the log has the decisions of all workers together, the dead ones' aside."""
    with Serving(tmp_path, configure(tmp_path, workers="2")) as serving:
        for _ in range(CLIENTS):
            with connect(tmp_path) as client:
                ask(client)
                client.ask("nobody@example.org")
    assert serving.logged("decisions of 2 workers") == [
        f"decisions of 2 workers: {CLIENTS} known, {CLIENTS} unknown"
    ]
