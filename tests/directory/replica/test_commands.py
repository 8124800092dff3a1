"""The replica as an operator meets it: the service, the commands, the doctor."""

from __future__ import annotations

import json
import os
import pty
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from check_user.directory.replica import open_generation
from tests.app.serving import Line, Serving, configure

KNOWN = "DECLINED known"
UNKNOWN = "DENY Address 'nobody@example.org' doesn't exist on this server"
SOFT = "DENYSOFT Internal error - try later"


def site(folder: Path, **changes: str) -> Path:
    """The sample database with a replica."""
    replica = {"replica": f"{folder}/replica.db", "replica_refresh": "1"}
    return configure(folder, f"line unix:{folder}/line.sock", **{**replica, **changes})


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "check_user", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def replica(action: str, file: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return run("replica", action, "--config", str(file), *more)


def execute(folder: Path, sql: str) -> None:
    with closing(sqlite3.connect(folder / "accounts.sqlite", isolation_level=None)) as database:
        database.execute(sql)


def wait_for(condition: Callable[[], bool], limit: float = 20.0) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_build_status_verify(tmp_path: Path) -> None:
    """build fills it, status says what is in it, verify compares it with the database: 0 where all
    is well, 1 where it isn't."""
    file = site(tmp_path)
    assert replica("status", file).returncode == 1
    assert replica("verify", file).returncode == 1
    done = replica("build", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert "generation 1: 11 recipients, 3 domains" in done.stdout
    status = replica("status", file)
    assert status.returncode == 0
    for line in ("generation    1", "recipients    11", "refused       nothing"):
        assert line in status.stdout
    assert replica("verify", file).returncode == 0
    execute(tmp_path, "INSERT INTO emailtable VALUES ('new', 'example.org', 'yes')")
    verified = replica("verify", file)
    assert (verified.returncode, verified.stdout) == (1, "new: 1 (new@example.org)\n")
    assert "generation 2" in replica("build", file).stdout


@pytest.mark.fault("RP25")
def test_accept_loss(tmp_path: Path) -> None:
    """build refuses a mass loss until it is told to take it."""
    file = site(tmp_path)
    replica("build", file)
    execute(tmp_path, "DELETE FROM emailtable WHERE domain = 'example.org'")
    done = replica("build", file)
    assert done.returncode == 1
    assert "--accept-loss" in done.stderr
    assert replica("build", file, "--accept-loss").returncode == 0
    assert "recipients    6\n" in replica("status", file).stdout


def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal build draws a bar with rows, rate and time left; elsewhere it doesn't."""
    file = site(tmp_path)
    rows = ((f"user{number}", "example.org", "yes") for number in range(150_000))
    with closing(sqlite3.connect(tmp_path / "accounts.sqlite")) as database:
        database.executemany("INSERT INTO emailtable VALUES (?, ?, ?)", rows)
        database.commit()
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "check_user", "replica", "build", "--config", str(file)],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
        assert process.wait() == 0
    os.close(ours)
    assert b" of 150,012 rows, " in shown
    assert b" a second, " in shown
    assert b" s left" in shown


def test_without_a_replica(tmp_path: Path) -> None:
    """The commands say so where none is configured."""
    done = replica("status", configure(tmp_path))
    assert (done.returncode, done.stdout) == (78, "")
    assert "replica" in done.stderr


def test_explain(tmp_path: Path) -> None:
    """lookup --explain says what came from the replica, and how old that is."""
    file = site(tmp_path)
    replica("build", file)
    done = run("lookup", "--json", "--explain", "--config", str(file), "anna@example.org")
    (step,) = json.loads(done.stdout)["steps"]
    assert step["name"] == "replica"
    assert step["origin"].startswith("replica (")
    assert step["rows"] == ["known"]


def test_the_doctor(tmp_path: Path) -> None:
    """check says whether the replica can be used, and warns where it can't."""
    file = site(tmp_path)

    def finding() -> str:
        lines = run("check", "--config", str(file)).stdout.splitlines()
        (line,) = [line for line in lines if " replica: " in line]
        return line

    assert finding().startswith("warning")
    replica("build", file)
    assert finding().startswith("ok ")
    (tmp_path / "replica.db").chmod(0o666)
    assert finding().startswith("error ")


@pytest.mark.fault("DB01", "RP21")
def test_the_service_without_its_database(tmp_path: Path) -> None:
    """serve fills the replica by itself; without the database the known go on, the unknown are
    refused within the bound and not beyond; it even starts without; when the database is back, new
    accounts are known. A reload keeps the replica."""
    file = site(tmp_path, replica_deny_max_age="5", workers="1")
    database, away = tmp_path / "accounts.sqlite", tmp_path / "away"

    def all_known(line: Line) -> bool:
        return (tmp_path / "replica.db").exists() and line.ask("anna@example.org") == KNOWN

    with Serving(tmp_path, file) as serving, Line(tmp_path / "line.sock") as line:
        wait_for(lambda: all_known(line))
        wait_for(lambda: bool(serving.logged("the replica is in use")))
        database.rename(away)
        wait_for(lambda: line.ask("nobody@example.org") == UNKNOWN)
        assert line.ask("anna@example.org") == KNOWN
        assert line.ask("a@elsewhere.example") == "DECLINED foreign"
        wait_for(lambda: line.ask("nobody@example.org") == SOFT)
        assert line.ask("anna@example.org") == KNOWN
    with Serving(tmp_path, file) as serving, Line(tmp_path / "line.sock") as line:
        assert line.ask("anna@example.org") == KNOWN
        assert line.ask("nobody@example.org") == SOFT
        away.rename(database)
        wait_for(lambda: line.ask("nobody@example.org") == UNKNOWN)
        serving.reload()
        execute(tmp_path, "INSERT INTO emailtable VALUES ('new', 'example.org', 'yes')")
        assert line.ask("new@example.org") == KNOWN
        database.rename(away)
        wait_for(lambda: line.ask("nobody@example.org") == UNKNOWN)
        assert line.ask("anna@example.org") == KNOWN


def test_workers_share_a_replica(tmp_path: Path) -> None:
    """With several workers one of them keeps the replica fresh, and another when it has gone."""
    file = site(tmp_path, workers="2")
    path = tmp_path / "replica.db"

    def feeder() -> int:
        return int((tmp_path / "replica.db.feeder").read_text())

    def generation() -> int:
        opened = open_generation(path)
        opened.close()
        return opened.meta.number

    with Serving(tmp_path, file):
        wait_for(path.exists)
        first = feeder()
        execute(tmp_path, "INSERT INTO emailtable VALUES ('new', 'example.org', 'yes')")
        wait_for(lambda: generation() == 2)
        os.kill(first, 9)
        wait_for(lambda: feeder() != first)
        execute(tmp_path, "INSERT INTO emailtable VALUES ('newer', 'example.org', 'yes')")
        wait_for(lambda: generation() == 3)


def test_no_folder(tmp_path: Path) -> None:
    """A replica that can't be written is told in the log; lookups go on by the database."""
    file = site(tmp_path, replica=f"{tmp_path}/nosuch/replica.db")
    with Serving(tmp_path, file) as serving, Line(tmp_path / "line.sock") as line:
        assert line.ask("anna@example.org") == KNOWN
        assert line.ask("nobody@example.org") == UNKNOWN
        wait_for(lambda: bool(serving.logged("couldn't be written")))


@pytest.mark.fault("AB09")
def test_a_planted_replica_is_not_served(tmp_path: Path) -> None:
    """A file that others may write isn't believed, though it is whole: somebody it invents is not
    known; it is replaced."""
    other = tmp_path / "other"
    other.mkdir()
    replica("build", site(other))
    with closing(sqlite3.connect(other / "accounts.sqlite")) as database:
        database.execute("INSERT INTO emailtable VALUES ('invented', 'example.org', 'yes')")
        database.commit()
    file = site(tmp_path, workers="1")
    replica("build", other / "check_user.conf")
    shutil.copy(other / "replica.db", tmp_path / "replica.db")
    (tmp_path / "replica.db").chmod(0o666)
    with Serving(tmp_path, file), Line(tmp_path / "line.sock") as line:
        assert line.ask("invented@example.org").startswith("DENY ")
        wait_for(lambda: (tmp_path / "replica.db").stat().st_mode & 0o777 == 0o640)
        assert line.ask("anna@example.org") == KNOWN
