"""The service as a process: start, reload, end, and what its surroundings can do to it."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.app.serving import KEYS, Line, Serving, configure, free_port, resident
from tests.peers.process import descendants


@pytest.fixture(params=["1", "2"], ids=["alone", "workers"], autouse=True)
def workers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rule holds for one process, and for a supervisor with two workers."""
    monkeypatch.setitem(KEYS, "workers", request.param)


KNOWN = "DECLINED known"
UNKNOWN = "DENY Address 'nobody@example.org' doesn't exist on this server"


def refusal(file: Path) -> tuple[int, str]:
    """Start a service that can't; give its exit code and what it wrote."""
    done = subprocess.run(
        [sys.executable, "-m", "check_user", "serve", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_it_serves(tmp_path: Path) -> None:
    """Every door answers once systemd has been told READY=1, in at most 60 MB of memory."""
    port = free_port()
    file = configure(tmp_path, f"line unix:{tmp_path}/line.sock", f"policy inet:127.0.0.1:{port}")
    with Serving(tmp_path, file) as serving:
        with Line(tmp_path / "line.sock") as line:
            assert line.ask("anna@example.org") == KNOWN
            assert line.ask("nobody@example.org") == UNKNOWN
            assert line.ask("a@elsewhere.example") == "DECLINED foreign"
            assert line.ask("") == "DENY Malformed address"
        with socket.create_connection(("127.0.0.1", port), 10) as policy:
            policy.sendall(b"request=smtpd_access_policy\nrecipient=nobody@example.org\n\n")
            assert policy.recv(512).startswith(b"action=550 5.1.1 Address 'nobody@example.org'")
        everybody = [serving.process.pid, *descendants(serving.process.pid)]
        assert all(resident(pid) <= 60e6 for pid in everybody)
    assert not (tmp_path / "line.sock").exists()


@pytest.mark.fault("OS07")
@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"emial_table": "x"}, 78, "did you mean 'email_table'"),
        ({"email_table": "nosuch"}, 78, "nosuch"),
        ({"email_user": "nosuch"}, 78, "nosuch"),
        ({"passwd_file": "nosuch"}, 78, "passwd_file"),
        ({"socket_group": "nosuch-group"}, 78, "nosuch-group"),
        ({"driver": "mysql", "user": "u", "passwd": "hunter2", "host": "127.0.0.1"}, 69, "reached"),
    ],
)
def test_a_wrong_configuration_is_one_line(
    tmp_path: Path, changes: dict[str, str], code: int, word: str
) -> None:
    """An error at the start is one line on stderr and exit 78, or 69 without a database (OS07)."""
    if code == 69:
        changes = {**changes, "port": str(free_port())}
    exit_code, written = refusal(configure(tmp_path, **changes))
    assert (exit_code, written.count("\n")) == (code, 1), written
    assert word in written
    assert "hunter2" not in written
    assert not (tmp_path / "line.sock").exists()


def test_an_address_in_use_is_one_line(tmp_path: Path) -> None:
    """A door that can't be opened is exit 78 and names the line of the configuration."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file = configure(tmp_path, f"line inet:127.0.0.1:{taken.getsockname()[1]}")
        code, written = refusal(file)
    assert (code, written.count("\n")) == (78, 1)
    number = len(file.read_text().splitlines())
    assert f"{file}:{number}: listen: " in written


@pytest.mark.parametrize("door", ["http"])
def test_doors_of_later_versions_are_refused(tmp_path: Path, door: str) -> None:
    """A door that this version doesn't have is exit 78 with a clear message."""
    code, written = refusal(configure(tmp_path, f"{door} inet:127.0.0.1:1"))
    assert (code, written.count("\n")) == (78, 1)
    assert f"{door!r} comes with a later version" in written


def test_a_reload_takes_over(tmp_path: Path) -> None:
    """SIGHUP: connections stay and get the new verdicts, doors come and go."""
    port = free_port()
    with Serving(tmp_path, configure(tmp_path)) as serving, Line(tmp_path / "line.sock") as line:
        assert line.ask("anna+x@example.org").startswith("DENY ")
        door = f"line unix:{tmp_path}/line.sock"
        configure(tmp_path, door, f"policy inet:127.0.0.1:{port}", recipient_delimiter="+")
        serving.reload()
        assert line.ask("anna+x@example.org") == KNOWN
        socket.create_connection(("127.0.0.1", port), 10).close()
        configure(tmp_path, door)
        serving.reload()
        assert line.ask("anna+x@example.org").startswith("DENY ")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 10)


@pytest.mark.fault("OS07")
@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"colour": "blue"}, "colour"),
        ({"email_table": "nosuch"}, "nosuch"),
        ({"database": "/nonexistent/accounts.sqlite"}, ""),
        ({"listen": "policy unix:/nonexistent/folder/sock"}, "folder is not there"),
        ({"listen": "policy unix:{folder}/line.sock"}, "needs a restart"),
    ],
)
def test_a_bad_reload_changes_nothing(tmp_path: Path, changes: dict[str, str], word: str) -> None:
    """A configuration that fails its proof changes nothing, and one log line says why (OS07)."""
    with Serving(tmp_path, configure(tmp_path)) as serving, Line(tmp_path / "line.sock") as line:
        listen = changes.get("listen", "").format(folder=tmp_path)
        others = {key: value for key, value in changes.items() if key != "listen"}
        own = f"line unix:{tmp_path}/line.sock"
        doors = [listen] if "line.sock" in listen else [own, *filter(None, [listen])]
        configure(tmp_path, *doors, recipient_delimiter="+", **others)
        serving.reload()
        assert line.ask("anna+x@example.org").startswith("DENY ")
        assert line.ask("anna@example.org") == KNOWN
        with Line(tmp_path / "line.sock") as another:
            assert another.ask("anna@example.org") == KNOWN
    (told,) = serving.logged("not reloaded")
    assert word in told
    assert serving.logged("reloaded") == [told]


@pytest.mark.fault("PC20")
def test_a_removed_socket_is_made_anew(tmp_path: Path) -> None:
    """A unix socket's file that was removed is there again after a reload (PC20)."""
    with Serving(tmp_path, configure(tmp_path)) as serving, Line(tmp_path / "line.sock") as line:
        (tmp_path / "line.sock").unlink()
        serving.reload()
        with Line(tmp_path / "line.sock") as another:
            assert another.ask("anna@example.org") == KNOWN
        assert line.ask("anna@example.org") == KNOWN


@pytest.mark.fault("OS08")
def test_a_storm_of_hangups_loses_no_answer(tmp_path: Path) -> None:
    """A hundred SIGHUPs a second lose no answer and no connection, and coalesce (OS08)."""
    with Serving(tmp_path, configure(tmp_path)) as serving, Line(tmp_path / "line.sock") as line:
        over = threading.Event()

        def storm() -> None:
            while not over.wait(0.01):
                serving.process.send_signal(signal.SIGHUP)

        thread = threading.Thread(target=storm)
        thread.start()
        end = time.monotonic() + 3
        asked = 0
        try:
            while time.monotonic() < end:
                assert line.ask("anna@example.org") == KNOWN
                asked += 1
        finally:
            over.set()
            thread.join()
    assert asked > 100
    assert 1 <= len(serving.logged(" reloaded ")) <= 6


@pytest.mark.fault("OS08")
def test_sigterm_answers_what_was_asked(tmp_path: Path) -> None:
    """SIGTERM under load: every question sent before it has its answer, within 5 s (OS08).

    The database is held by a lock, so that the answers are still due when the signal comes.
    """
    with Serving(tmp_path, configure(tmp_path)) as serving:
        lines = [Line(tmp_path / "line.sock") for _ in range(10)]
        for line in lines:
            assert line.ask("anna@example.org") == KNOWN
        with sqlite3.connect(tmp_path / "accounts.sqlite", isolation_level=None) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            for line in lines:
                for _ in range(5):
                    line.send("anna@example.org")
            time.sleep(0.5)  # the questions have arrived; nothing else tells that they have
            started = time.monotonic()
            serving.process.terminate()
            serving.until("STOPPING=1")
            lock.execute("ROLLBACK")
        lock.close()
        answers = [line.answer() for line in lines for _ in range(5)]
        assert time.monotonic() - started < 5.5
        assert serving.process.wait(10) == 0
        for line in lines:
            line.close()
    assert set(answers) <= {KNOWN, "DENYSOFT Internal error - try later"}
    assert len(answers) == 50


@pytest.mark.fault("OS05")
def test_a_log_nobody_reads_delays_no_verdict(tmp_path: Path) -> None:
    """With the log's pipe full and nobody reading, verdicts go on and the end is clean (OS05)."""
    reading, writing = os.pipe()
    try:
        with (
            Serving(tmp_path, configure(tmp_path), stderr=writing) as serving,
            Line(tmp_path / "line.sock") as line,
        ):
            slowest = 0.0
            for _ in range(1000):
                started = time.monotonic()
                assert line.ask("anna@example.org") == KNOWN
                slowest = max(slowest, time.monotonic() - started)
            assert slowest < 1
            assert serving.process.poll() is None
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.fault("OS06")
def test_a_closed_log_stops_nothing(tmp_path: Path) -> None:
    """With the log's reader gone (EPIPE), the service serves and ends as ever (OS06)."""
    reading, writing = os.pipe()
    with Serving(tmp_path, configure(tmp_path), stderr=writing):
        os.close(reading)
        os.close(writing)
        with Line(tmp_path / "line.sock") as line:
            for _ in range(100):
                assert line.ask("anna@example.org") == KNOWN


@pytest.mark.fault("OS06")
def test_without_standard_descriptors(tmp_path: Path) -> None:
    """Started with 0, 1 and 2 closed, no socket gets their numbers, and none the log (OS06).

    A line of the log on the database's or a client's socket would be taken for an answer.
    """
    serving = Serving(tmp_path, configure(tmp_path))
    serving.command = ["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", *serving.command]
    with serving, Line(tmp_path / "line.sock") as line:
        assert line.ask("anna@example.org") == KNOWN
        for descriptor in range(3):
            target = Path(f"/proc/{serving.process.pid}/fd/{descriptor}").readlink()
            assert target == Path(os.devnull)


@pytest.mark.fault("OS14")
@pytest.mark.parametrize(
    "environment",
    [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"TZ": "nonsense"}],
    ids=["locale C", "odd TZ"],
)
def test_the_locale_changes_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    """Locale C and an odd time zone change neither a verdict nor a line of the log (OS14)."""
    file = configure(tmp_path)
    with (
        Serving(tmp_path, file, environment=environment) as serving,
        Line(tmp_path / "line.sock") as line,
    ):
        assert line.ask("jürgen@bücher.example") == KNOWN
    assert '"address": "j\\u00fcrgen@' in serving.log.read_text()


def test_systemd_is_told(tmp_path: Path) -> None:
    """systemd is told of the reload with its time, of the end, and that the event loop lives."""
    environment = {"WATCHDOG_USEC": "200000"}
    with Serving(tmp_path, configure(tmp_path), environment=environment) as serving:
        serving.until("WATCHDOG=1")
        serving.until("WATCHDOG=1")
        serving.process.send_signal(signal.SIGHUP)
        reloading = serving.until("RELOADING=1")
        assert int(reloading.partition("MONOTONIC_USEC=")[2]) <= time.monotonic_ns() // 1000
        serving.until("READY=1")
        serving.process.send_signal(signal.SIGINT)
        serving.until("STOPPING=1")


def test_descriptors(tmp_path: Path) -> None:
    """The limit of open files is raised to what the system allows."""
    with Serving(tmp_path, configure(tmp_path)) as serving:
        limits = Path(f"/proc/{serving.process.pid}/limits").read_text()
    (line,) = [each for each in limits.splitlines() if each.startswith("Max open files")]
    soft, hard = line.split()[3:5]
    assert soft == hard
