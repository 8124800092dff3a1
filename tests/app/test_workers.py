"""Several processes behind the same sockets: what one's end does to the others, and to clients."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.app.serving import Line, Serving, configure
from tests.peers.process import alive, descendants, wait_until

KNOWN = "DECLINED known"
CLIENTS = 16


IMPATIENT = """
import sys
from check_user.app import supervisor
from check_user.cli import main
supervisor.SILENCE = 3
sys.exit(main())
"""
"""A service that doesn't wait half a minute for a worker's sign of life."""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A supervisor with two workers."""
    with Serving(tmp_path, configure(tmp_path, workers="2")) as running:
        yield running


def impatient(folder: Path, **keys: str) -> Serving:
    """The same, and one that is soon tired of waiting."""
    serving = Serving(folder, configure(folder, workers="2", **keys))
    serving.command = [sys.executable, "-c", IMPATIENT, *serving.command[3:]]
    return serving


def second_worker(supervisor: int) -> int:
    """The worker that was started last, when the other one serves."""
    assert wait_until(lambda: len(descendants(supervisor)) == 2, 10)
    return max(descendants(supervisor))


@contextmanager
def with_second(serving: Serving, number: signal.Signals) -> Iterator[int]:
    """Start the service, and send a signal to the second worker as soon as there is one."""
    sent: list[int] = []

    def send() -> None:
        assert wait_until(lambda: hasattr(serving, "process"), 10)
        sent.append(second_worker(serving.process.pid))
        os.kill(sent[0], number)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with serving:
            thread.join()
            yield sent[0]
    finally:
        thread.join()


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


@pytest.mark.fault("OS07")
def test_a_replaced_worker_has_the_others_configuration(serving: Serving, tmp_path: Path) -> None:
    """What somebody writes into the file counts after a reload: a worker that is replaced before
    that serves what was proven, as the others do."""
    supervisor = serving.process.pid
    (tmp_path / "check_user.conf").write_text("listen=line unix:/half/writt")
    for _ in range(2):
        first, *_ = descendants(supervisor)
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: not alive(first) and len(descendants(supervisor)) == 2, 5)  # noqa: B023 - called at once
    clients = [connect(tmp_path) for _ in range(CLIENTS)]
    assert [ask(client) for client in clients] == [KNOWN] * CLIENTS
    for client in clients:
        client.close()
    assert serving.logged("no further worker") == []


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


@pytest.mark.fault("OS09")
def test_a_worker_that_hangs_at_the_start(tmp_path: Path) -> None:
    """The first worker makes the service ready; one that hangs while it starts is replaced."""
    serving = impatient(tmp_path)
    with with_second(serving, signal.SIGSTOP) as frozen:
        with connect(tmp_path) as client:
            assert ask(client) == KNOWN
        assert wait_until(lambda: not alive(frozen), 8)
        assert second_worker(serving.process.pid) != frozen
        serving.reload()
        assert len(descendants(serving.process.pid)) == 2
    assert serving.logged("no sign of life") == [f"worker {frozen} gives no sign of life"]
    assert len(serving.logged("reloaded")) == 1


def test_no_client_waits_for_a_worker_that_hangs(serving: Serving, tmp_path: Path) -> None:
    """Who connects while a worker hangs is served by another."""
    frozen = second_worker(serving.process.pid)
    os.kill(frozen, signal.SIGSTOP)
    for _ in range(CLIENTS):
        with connect(tmp_path) as client:
            assert ask(client) == KNOWN
    assert alive(frozen)
    os.kill(frozen, signal.SIGCONT)


@pytest.mark.fault("OS09")
def test_a_worker_that_dies_at_the_start(tmp_path: Path) -> None:
    """One that dies while it starts doesn't end the service: another takes its place."""
    serving = Serving(tmp_path, configure(tmp_path, workers="2"))
    with with_second(serving, signal.SIGKILL) as dead:
        with connect(tmp_path) as client:
            assert ask(client) == KNOWN
        assert wait_until(lambda: not alive(dead), 5)
        assert wait_until(lambda: second_worker(serving.process.pid) != dead, 10)


def test_a_long_proof_is_no_hang(tmp_path: Path) -> None:
    """A worker that works for longer than one may be silent is waited for."""
    with impatient(tmp_path, lookup_timeout="20") as serving:
        before = descendants(serving.process.pid)
        with sqlite3.connect(tmp_path / "accounts.sqlite", isolation_level=None) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            serving.process.send_signal(signal.SIGHUP)
            serving.until("RELOADING=1")
            time.sleep(6)  # twice the silence, and nothing else tells that nothing happens
            assert not serving.logged("reloaded")
            lock.execute("ROLLBACK")
        lock.close()
        serving.until("READY=1")
        assert set(before) <= set(descendants(serving.process.pid))
    assert len(serving.logged(" reloaded ")) == 1


def test_the_end_waits_for_no_worker_that_hangs(tmp_path: Path) -> None:
    """A worker that hangs while it starts is ended with the service, in a few seconds."""
    with Serving(tmp_path, configure(tmp_path, workers="2")) as serving:
        dead = second_worker(serving.process.pid)
        os.kill(dead, signal.SIGKILL)
        assert wait_until(lambda: not alive(dead), 5)
        assert wait_until(lambda: second_worker(serving.process.pid) != dead, 10)
        frozen = second_worker(serving.process.pid)
        os.kill(frozen, signal.SIGSTOP)
        serving.process.terminate()
        assert serving.process.wait(8) == 0
        assert not alive(frozen)


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
