"""SQLite at once: a lookup in a file of this machine, without a thread and without waiting.

A row that an index finds in a file that the kernel holds in memory takes a few microseconds; a
visit to the driver's thread takes a hundred. So it is tried on the event loop first, and given up
before it can hold others up:

=====================================  =========================================================
the file is locked                     no wait (``timeout=0``)
the statement reads more than a few    ended after OPCODES steps of SQLite's virtual machine
rows
it was slow, several times in a row    not tried for PAUSE seconds
(a disk that has to move)
the file was replaced                  opened anew; if it isn't there, the pool says so
any error                              nobody's but the pool's
=====================================  =========================================================

Whatever is given up here is asked once more by the pool, which has deadlines, doubts and a breaker;
so nothing that is said here is a fault. Only for file systems of this machine (LOCAL): one that is
mounted over a network may hang, and would take the event loop with it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter

from sqlalchemy.dialects.sqlite import dialect

from check_user.directory.sql.compiled import Compiled, compile_for
from check_user.directory.sql.session import file_identity
from check_user.directory.sql.templates import NAMES, Answer, Row, Slot, Template

OPCODES = 4000
"""Steps of SQLite's virtual machine, some 100 us; a lookup by an index takes about 50. A statement
that was used before is ended after so many, or twice as many: its steps go on being counted."""

SLOW = 0.005
"""Seconds for which nobody else was served. Now and then that is the processor, taken by others."""

IN_A_ROW = 3
"""Slow ones that are the disk."""

PAUSE = 1.0
"""Seconds without a try then: a cold disk serves 200 lookups a second, not 10,000."""

LOCAL = frozenset(
    {
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "reiserfs", "bcachefs"),
        *("tmpfs", "ramfs", "overlay", "ufs", "vfat", "exfat"),
    }
)
"""File systems, by their names in proc_pid_mountinfo(5). A subvolume of btrfs isn't found there."""

MOUNTS = Path("/proc/self/mountinfo")


class AtOnce:
    """Asks one template in the file at ``path``. From one thread only."""

    def __init__(self, path: Path, template: Template) -> None:
        self._path = path
        self._template = template
        self._compiled: Compiled = compile_for(dialect(paramstyle="qmark"), template.statement(1))
        self._identity: tuple[int, int] | None = None
        self._connection: sqlite3.Connection | None = None
        self._resume = 0.0
        self._slow = 0
        self._looks = 0
        with suppress(OSError, sqlite3.Error):
            self._opened()

    def ask(self, key: str, slot: Slot) -> Answer | None:
        """Give the answer for one slot, or None: the pool has to be asked. Never raises."""
        begun = perf_counter()
        if begun < self._resume:
            return None
        rows = self._fetch(slot)
        self._slow = self._slow + 1 if perf_counter() - begun > SLOW else 0
        if self._slow >= IN_A_ROW:
            self._slow, self._resume = 0, begun + PAUSE
        if rows is None:
            return None
        (answer,) = self._template.answers([(key, (slot,))], rows)
        return answer

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _fetch(self, slot: Slot) -> Sequence[Row] | None:
        values = self._compiled.bind(dict(zip(NAMES[0], slot, strict=False)))
        self._looks = 0
        try:
            return self._opened().execute(self._compiled.text, values).fetchall()
        except (OSError, sqlite3.Error, UnicodeError):
            return None

    def _opened(self) -> sqlite3.Connection:
        """The file that is there now. Raises FileNotFoundError, sqlite3.Error."""
        identity = file_identity(self._path)
        if self._connection is None or identity != self._identity:
            self.close()
            if identity is None:
                raise FileNotFoundError
            self._connection, self._identity = _connect(self._path), identity
            self._connection.set_progress_handler(self._look, OPCODES)
        return self._connection

    def _look(self) -> bool:
        """SQLite asks if it shall end, every OPCODES steps."""
        self._looks += 1
        return self._looks > 1


def is_local(path: Path) -> bool:
    """Whether the file lies on a file system of this machine, as far as that is known."""
    try:
        number = path.stat().st_dev
        lines = MOUNTS.read_text().splitlines()
    except (OSError, UnicodeError):
        return False
    device = f"{os.major(number)}:{os.minor(number)}"
    kinds = {line.partition(" - ")[2].split()[0] for line in lines if line.split()[2] == device}
    return bool(kinds) and kinds <= LOCAL


def _connect(path: Path) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(address, uri=True, timeout=0, isolation_level=None)
