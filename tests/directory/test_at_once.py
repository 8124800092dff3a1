"""A SQLite file of this machine is asked on the spot, and never at the others' cost."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from check_user.directory import Directory, Presence, Prompt
from check_user.directory.sql import at_once
from check_user.directory.sql.at_once import AtOnce, is_local
from check_user.directory.sql.lookup import SqlDirectory
from tests.directory.backends import Sqlite, address

TABLES = """
CREATE TABLE users (email TEXT PRIMARY KEY); CREATE TABLE domains (domain TEXT PRIMARY KEY);
INSERT INTO domains VALUES ('x.example'); INSERT INTO users VALUES ('anna@x.example');
CREATE INDEX users_folded ON users (lower(trim(email)));
CREATE INDEX domains_folded ON domains (lower(trim(domain)));
"""


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Sqlite]:
    made = Sqlite(tmp_path)
    made.fill(TABLES)
    yield made
    await made.close()


def told(directory: Directory, text: str) -> Presence | None:
    assert isinstance(directory, Prompt)
    return directory.find_at_once(address(text))


def held(file: Path) -> int:
    """How many descriptors of a file we have."""
    links = (str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink())
    return sum(link == str(file) for link in links)


async def test_what_an_index_finds_is_told_at_once(backend: Sqlite) -> None:
    """Known, unknown and foreign, in whatever case, without waiting for anything."""
    directory = await backend.open()
    assert told(directory, "anna@x.example") is Presence.KNOWN
    assert told(directory, "Anna@X.example") is Presence.KNOWN
    assert told(directory, "bert@x.example") is Presence.UNKNOWN
    assert told(directory, "anna@y.example") is Presence.FOREIGN


async def test_an_account_is_known_the_moment_it_is_there(backend: Sqlite) -> None:
    """Nothing is remembered: what is committed counts at once, and what is deleted is gone."""
    directory = await backend.open()
    for _ in range(3):
        assert told(directory, "bert@x.example") is Presence.UNKNOWN
        backend.execute("INSERT INTO users VALUES ('bert@x.example')")
        assert told(directory, "bert@x.example") is Presence.KNOWN
        backend.execute("DELETE FROM users WHERE email = 'bert@x.example'")


async def test_a_lock_is_not_waited_for(backend: Sqlite) -> None:
    """While somebody writes, the answer comes from the pool, which may wait."""
    directory = await backend.open()
    with closing(sqlite3.connect(backend.path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        begun = time.perf_counter()
        assert told(directory, "anna@x.example") is None
        assert time.perf_counter() - begun < 0.5
    assert told(directory, "anna@x.example") is Presence.KNOWN


async def test_a_large_table_is_not_read(backend: Sqlite) -> None:
    """Without an index it is given up in the midst, however often it is asked, and asked below."""
    backend.execute("DROP TABLE users; CREATE TABLE users (email TEXT);")
    with closing(sqlite3.connect(backend.path)) as connection:
        rows = ((f"user{number}@x.example",) for number in range(50_000))
        connection.executemany("INSERT INTO users VALUES (?)", rows)
        connection.commit()
    directory = await backend.open()
    for _ in range(5):
        assert told(directory, "user49999@x.example") is None
        assert await directory.find(address("user49999@x.example")) is Presence.KNOWN


async def test_another_file_in_its_place(backend: Sqlite, tmp_path: Path) -> None:
    """A file that was replaced is asked from the next question on; while there is none, nobody."""
    directory = await backend.open()
    other = Sqlite(tmp_path / "other")
    other.path.parent.mkdir()
    other.fill(TABLES.replace("anna", "carl"))
    assert told(directory, "carl@x.example") is Presence.UNKNOWN
    other.path.rename(backend.path)
    assert told(directory, "carl@x.example") is Presence.KNOWN
    backend.path.unlink()
    assert told(directory, "carl@x.example") is None


@pytest.mark.parametrize("broken", [b"", b"no database at all" * 100])
async def test_a_broken_file(backend: Sqlite, tmp_path: Path, broken: bytes) -> None:
    """What is no database, or has no tables, is no answer, and no error."""
    directory = await backend.open()
    (tmp_path / "broken").write_bytes(broken)
    (tmp_path / "broken").rename(backend.path)
    assert told(directory, "anna@x.example") is None


async def test_a_slow_disk_is_left_to_the_pool(
    backend: Sqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three slow answers in a row, and it isn't tried for a while; one alone is no reason."""
    directory = await backend.open()
    monkeypatch.setattr(at_once, "PAUSE", 0.2)
    monkeypatch.setattr(at_once, "SLOW", 0.0)
    for _ in range(2):
        assert told(directory, "anna@x.example") is Presence.KNOWN
    monkeypatch.setattr(at_once, "SLOW", 9.0)
    for _ in range(9):
        assert told(directory, "anna@x.example") is Presence.KNOWN
    monkeypatch.setattr(at_once, "SLOW", 0.0)
    answers: list[Presence | None] = []
    begun = time.monotonic()
    while None not in answers[4:] or answers[-1] is None:
        answers.append(told(directory, "anna@x.example"))
        assert time.monotonic() - begun < 5
    assert answers[:4] == [Presence.KNOWN] * 3 + [None]


def test_only_file_systems_of_this_machine(tmp_path: Path) -> None:
    """A kind of file system that isn't listed may hang; so may what isn't there."""
    assert is_local(tmp_path)
    assert not is_local(Path("/proc/self/status"))
    assert not is_local(tmp_path / "nobody")


async def test_a_file_system_of_another_machine(
    backend: Sqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There a thread asks, as long as it takes."""
    monkeypatch.setattr(at_once, "LOCAL", frozenset({"nfs4"}))
    directory = await backend.open()
    assert isinstance(directory, SqlDirectory)
    assert told(directory, "anna@x.example") is None
    assert await directory.find(address("anna@x.example")) is Presence.KNOWN


async def test_it_lets_go_of_the_file(backend: Sqlite) -> None:
    """A closed directory holds no descriptor of the file."""
    directory = await backend.open()
    assert told(directory, "anna@x.example") is Presence.KNOWN
    assert held(backend.path)
    await directory.aclose()
    assert not held(backend.path)


async def test_text_that_is_none(backend: Sqlite) -> None:
    """A stored address that isn't UTF-8 is no error on the way; the pool sees to it."""
    backend.execute("INSERT INTO users VALUES (CAST(x'ff40782e6578616d706c65' AS TEXT))")
    directory = await backend.open()
    assert isinstance(directory, SqlDirectory)
    asked: AtOnce | None = directory._at_once
    assert asked is not None
    assert asked.ask("\udcff@x.example", ("\udcff@x.example", "x.example")) is None
