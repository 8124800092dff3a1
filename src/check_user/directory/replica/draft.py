"""A draft: the next generation, written aside and put in place when it is whole.

    REPLICA.staged   what was listed, in the order in which it came
    REPLICA.new      the generation: sorted, proven, synchronised to the disk
    REPLICA          by rename(2); readers go on with the old file until they have opened this one

Whatever ends the writer before the last step (a signal, a full disk) leaves the old generation as
it was; the next draft removes what was left aside. Sorting before inserting keeps the pages full
and lets ten million rows be written with a few megabytes of memory.

A file belongs to whom its folder belongs to where root wrote it. Its mode and group are those of
the generation before it (0640 for the first), so that a mail server may be given the right to read.

Everything here blocks. :class:`Trouble` says that the disk wouldn't have it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from check_user.directory.listing import Entry, Skipped
from check_user.directory.replica.clock import Stamp
from check_user.directory.replica.schema import (
    DOMAINS,
    RANGE,
    RECIPIENTS,
    TABLES,
    Meta,
    Part,
    range_digest,
)
from check_user.directory.replica.trust import Unusable, beside, give_to_owner, inspect

CACHE = 2048
"""KiB of memory for sorting and for pages; more makes it no faster."""

FIRST_MODE = 0o640

PREPARE = (
    # Not worth a journal: what isn't finished is thrown away.
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA locking_mode = EXCLUSIVE",
    f"PRAGMA cache_size = -{CACHE}",
    "ATTACH ? AS staged",
    "PRAGMA staged.journal_mode = OFF",
    "PRAGMA staged.synchronous = OFF",
    "CREATE TABLE staged.recipients (key TEXT, word TEXT)",
    "CREATE TABLE staged.domains (key TEXT, word TEXT)",
)
AT_A_TIME = 250
"""Rows of a statement that stages them: a third of the time of one a row, and the interpreter is
left and wanted back once, not for each row, which is slow beside a busy event loop."""

STAGE_RECIPIENTS = "INSERT INTO staged.recipients VALUES (?, ?)"
STAGE_DOMAINS = "INSERT INTO staged.domains VALUES (?, ?)"
SORT = (
    "INSERT OR IGNORE INTO main.recipients SELECT key, word FROM staged.recipients "
    "ORDER BY key, word <> 'known', word",
    "INSERT OR IGNORE INTO main.domains SELECT key, word FROM staged.domains "
    "ORDER BY key, word <> 'known', word",
)
PROVE = "INSERT INTO proofs VALUES (?, ?, ?, ?)"
DESCRIBE = "INSERT INTO meta VALUES (?, ?)"

GONE = (
    "SELECT address FROM old.recipients AS was WHERE presence = 'known' AND NOT EXISTS "
    "(SELECT 1 FROM main.recipients AS now WHERE now.address = was.address "
    "AND now.presence = 'known') ORDER BY address"
)
NEW = (
    "SELECT address FROM main.recipients AS now WHERE presence = 'known' AND NOT EXISTS "
    "(SELECT 1 FROM old.recipients AS was WHERE was.address = now.address "
    "AND was.presence = 'known') ORDER BY address"
)
KNOWN_BEFORE = "SELECT count(*) FROM old.recipients WHERE presence = 'known'"
GONE_DOMAINS = "SELECT domain FROM old.domains EXCEPT SELECT domain FROM main.domains ORDER BY 1"
NEW_DOMAINS = "SELECT domain FROM main.domains EXCEPT SELECT domain FROM old.domains ORDER BY 1"

EXAMPLES = 5


class Trouble(Exception):
    """The disk is full, read-only, or broken. One line, for the log."""


@dataclass(frozen=True, slots=True)
class Some:
    """How many there are, and the first few."""

    number: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        """Write ``12 (a@x.example, ...)``."""
        if not self.number:
            return "0"
        more = ", ..." if self.number > len(self.examples) else ""
        return f"{self.number} ({', '.join(self.examples)}{more})"


@dataclass(frozen=True, slots=True)
class Difference:
    """What has changed since the generation before: users and domains, new and gone.

    ``users_before`` is how many users there were.
    """

    users_before: int
    new: Some
    gone: Some
    new_domains: Some
    gone_domains: Some

    def __str__(self) -> str:
        """Write one line, without what is zero."""
        changes = {
            "new": self.new,
            "gone": self.gone,
            "new domains": self.new_domains,
            "domains gone": self.gone_domains,
        }
        return "; ".join(f"{what}: {some}" for what, some in changes.items() if some.number)


class Draft:
    """The next generation of the replica at ``path``. The caller holds the lock."""

    def __init__(self, path: Path) -> None:
        """Begin, with empty files. Raises Trouble."""
        self._path = path
        self._new, self._staged = beside(path, "new"), beside(path, "staged")
        try:
            self._connection = self._begin()
        except (OSError, sqlite3.Error) as error:
            raise Trouble(f"can't write beside {path}: {error}") from None

    def add_domains(self, entries: Sequence[Entry]) -> None:
        """Take a batch of the listing. Raises Trouble."""
        self._stage(STAGE_DOMAINS, entries)

    def add_recipients(self, entries: Sequence[Entry]) -> None:
        """Take a batch of the listing. Raises Trouble."""
        self._stage(STAGE_RECIPIENTS, entries)

    def finish(
        self, before: Meta | None, source: str, listed: Stamp, took: float, skipped: Skipped
    ) -> Meta:
        """Sort, prove and describe; ``before`` is the generation in place. Raises Trouble."""
        nonce = secrets.token_bytes(16)
        content = hashlib.blake2b(digest_size=16)
        try:
            for statement in SORT:
                self._connection.execute(statement)
            numbers = [self._prove(part, nonce, content) for part in (RECIPIENTS, DOMAINS)]
            meta = Meta(
                number=before.number + 1 if before else 1,
                nonce=nonce.hex(),
                source=source,
                content=content.hexdigest(),
                recipients=numbers[0],
                domains=numbers[1],
                listed=listed,
                took=round(took, 3),
                skipped=skipped.number,
                example=skipped.example[:320].encode("utf-8", "replace").decode(),
            )
            self._connection.executemany(DESCRIBE, meta.rows().items())
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise Trouble(f"{self._new}: {error}") from None
        return meta

    def compare(self, path: Path) -> Difference:
        """Tell the difference to the generation at ``path``, which was verified."""
        address = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        run = self._connection.execute
        try:
            run("ATTACH ? AS old", (address,))
            (users_before,) = run(KNOWN_BEFORE).fetchone()
            difference = Difference(
                users_before, *map(self._some, (NEW, GONE, NEW_DOMAINS, GONE_DOMAINS))
            )
            run("DETACH old")
        except sqlite3.Error as error:
            raise Trouble(f"{path}: {error}") from None
        return difference

    def install(self) -> None:
        """Put the draft in place. Raises Trouble; then the old one is still there."""
        self._connection.close()
        try:
            self._settle()
            self._new.replace(self._path)
            _synchronise(self._path.parent, os.O_DIRECTORY)
        except OSError as error:
            raise Trouble(f"{self._path}: {error.strerror}") from None
        finally:
            self.discard()

    def interrupt(self) -> None:
        """End what another thread is doing here."""
        with suppress(sqlite3.Error):
            self._connection.interrupt()

    def discard(self) -> None:
        """Remove what is left of it; again does no harm."""
        self._connection.close()
        self._remove()

    def _begin(self) -> sqlite3.Connection:
        self._remove()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        for path in (self._new, self._staged):
            os.close(os.open(path, flags, 0o600))
        connection = sqlite3.connect(
            f"file:{quote(str(self._new.absolute()))}?mode=rw",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        staged = f"file:{quote(str(self._staged.absolute()))}?mode=rw"
        try:
            for statement in PREPARE:
                connection.execute(statement, (staged,) if "?" in statement else ())
            for statement in TABLES.values():
                connection.execute(statement)
            connection.execute("BEGIN")
        except sqlite3.Error:
            connection.close()
            self._remove()
            raise
        return connection

    def _stage(self, statement: str, entries: Sequence[Entry]) -> None:
        many = statement + ", (?, ?)" * (AT_A_TIME - 1)
        whole = len(entries) - len(entries) % AT_A_TIME
        try:
            for begin in range(0, whole, AT_A_TIME):
                rows = entries[begin : begin + AT_A_TIME]
                self._connection.execute(many, list(chain.from_iterable(rows)))
            self._connection.executemany(statement, entries[whole:])
        except sqlite3.Error as error:
            raise Trouble(f"{self._staged}: {error}") from None

    def _prove(self, part: Part, key: bytes, content: hashlib.blake2b) -> int:
        """Write the digests of a table's ranges; add its rows to ``content``; count them."""
        low, number = "", 0
        lines = self._lines_after(part, "")
        while True:
            number += lines.count("\n") + bool(lines)
            content.update(f"{part.name}\n{lines}\n".encode())
            last = lines.rpartition("\n")[2].partition("\t")[0]
            following = self._lines_after(part, last) if lines else ""
            high = following.partition("\t")[0] or None
            proof = range_digest(key, part, low, high, lines)
            self._connection.execute(PROVE, (part.name, low, high, proof))
            if high is None:
                return number
            low, lines = high, following

    def _lines_after(self, part: Part, key: str) -> str:
        (lines,) = self._connection.execute(part.after, (key, RANGE)).fetchone()
        return lines or ""

    def _some(self, statement: str) -> Some:
        number, examples = 0, []
        for (key,) in self._connection.execute(statement):
            number += 1
            if number <= EXAMPLES:
                examples.append(key)
        return Some(number, tuple(examples))

    def _settle(self) -> None:
        """Give the file its rights, and wait until it is on the disk."""
        descriptor = os.open(self._new, os.O_RDWR | os.O_CLOEXEC)
        try:
            try:
                before = inspect(self._path)
            except Unusable:
                os.fchmod(descriptor, FIRST_MODE)
            else:
                with suppress(PermissionError):  # a group that we aren't in
                    os.fchown(descriptor, -1, before.st_gid)
                os.fchmod(descriptor, before.st_mode & 0o777)
            give_to_owner(descriptor, self._path.parent)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _remove(self) -> None:
        for path in (self._new, self._staged):
            path.unlink(missing_ok=True)


def _synchronise(path: Path, flags: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
