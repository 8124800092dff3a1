"""Postfix's own maps of the accounts, and ``postmap``, which asks them.

A map is what Postfix's settings call it: ``mysql:/FOLDER/users.mysql.cf``, ``lmdb:/FOLDER/users``.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from bench.accounts import read_load
from bench.drivers import endless
from bench.rounds import Contender, Measured, WrongError
from tests.peers.database import DATABASE, PASSWORD, USER
from tests.peers.process import program

RECIPIENT = "SELECT email FROM users WHERE email = '%s'"
DOMAIN = "SELECT domain FROM domains WHERE domain = '%s'"
ONE_QUESTION = "SELECT email FROM users WHERE email = '%u@%d'"
"""Without a local part nothing is asked: an unknown address costs one question, not two."""

REPLICA_RECIPIENT = (
    "SELECT address FROM recipients WHERE address = lower('%s') AND presence = 'known'"
)
REPLICA_DOMAIN = "SELECT domain FROM domains WHERE domain = lower('%s')"
"""check_user's replica, read by Postfix itself (docs/replica.md)."""

MAIN = "compatibility_level = 3.6\nlmdb_map_size = 1073741824\n"


def mysql_map(folder: Path, name: str, socket: str, query: str) -> str:
    """Ask MariaDB at ``socket``."""
    server = f"hosts = unix:{socket}\nuser = {USER}\npassword = {PASSWORD}\ndbname = {DATABASE}"
    return _described("mysql", folder / f"{name}.mysql.cf", f"{server}\nquery = {query}\n")


def sqlite_map(folder: Path, name: str, database: Path, query: str) -> str:
    """Ask a SQLite file."""
    return _described(
        "sqlite", folder / f"{name}.sqlite.cf", f"dbpath = {database}\nquery = {query}\n"
    )


def lmdb_map(folder: Path, name: str, keys: Iterable[str]) -> str:
    """Make a file with ``keys``, each its own value."""
    source = folder / name
    source.write_text("".join(f"{key} {key}\n" for key in keys))
    table = f"lmdb:{source}"
    subprocess.run([*_postmap(folder), table], check=True)
    return table


def _described(kind: str, file: Path, text: str) -> str:
    file.write_text(text)
    return f"{kind}:{file}"


def _postmap(folder: Path) -> list[str]:
    """The command, with settings of its own in ``folder``."""
    main = folder / "main.cf"
    if not main.exists():
        main.write_text(MAIN)
    return [program("postmap", "postfix", "/usr/sbin"), "-c", str(folder)]


class Postmap:
    """``postmap -q -`` on a map whose values are its keys: a key a line, one after the other.

    How many keys it is given follows from its last rate. The time that it needs to start, taken
    with a single key, is subtracted.
    """

    def __init__(self, folder: Path, table: str, load: Path) -> None:
        folder.mkdir()
        self._command = [*_postmap(folder), "-q", "-", table]
        self._questions, self._answers = folder / "keys", folder / "answers"
        self._load = read_load(load)
        self._rate = 5000.0

    def contender(self, name: str, database: str) -> Contender:
        """It, as one client."""
        return Contender(name, database, 1, self._run)

    def _run(self, seconds: float, start: int) -> Measured:
        keys = list(islice(endless(self._load, start), max(int(self._rate * seconds), 2)))
        starting = self._ask(keys[:1])
        took = self._ask(keys)
        self._rate = (len(keys) - 1) / (took - starting)
        return Measured(self._rate)

    def _ask(self, keys: Sequence[tuple[str, bool]]) -> float:
        """Ask for ``keys``; give the seconds. Raises WrongError."""
        self._questions.write_text("".join(f"{address}\n" for address, _ in keys))
        with self._questions.open() as given, self._answers.open("w") as taken:
            begun = time.perf_counter()
            subprocess.run(self._command, stdin=given, stdout=taken, check=False)
            took = time.perf_counter() - begun
        right = "".join(f"{address}\t{address}\n" for address, is_known in keys if is_known)
        if self._answers.read_text() != right:
            raise WrongError("postmap gave other answers than it should")
        return took
