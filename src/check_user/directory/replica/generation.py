"""A generation opened for reading: all of it was proven, and what is asked of it can be again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from check_user.directory.replica.schema import (
    DOMAINS,
    END,
    PROOF,
    PROOFS,
    RECIPIENTS,
    Meta,
    Part,
    connect,
    range_digest,
    read_meta,
)
from check_user.directory.replica.trust import Identity, Unusable, identity, inspect

PLAIN_DOMAINS = "SELECT NOT EXISTS (SELECT 1 FROM domains WHERE others <> 'unknown')"


def open_generation(path: Path) -> Generation:
    """Open the file at ``path`` and read all of it: a quarter of a second for a million rows.

    Raises Unusable where there is none, or one that is damaged or somebody else's.
    """
    found = identity(inspect(path))
    with _telling(path), ExitStack() as opened:
        connection = opened.enter_context(closing(connect(path)))
        meta = _verify(connection)
        (plain,) = connection.execute(PLAIN_DOMAINS).fetchone()
        _require_same(path, found)
        opened.pop_all()
    return Generation(connection, meta, found, plain=bool(plain))


def peek(path: Path) -> Meta:
    """What the file says of itself; its rows aren't read. Raises Unusable."""
    inspect(path)
    with _telling(path), closing(connect(path)) as connection:
        return read_meta(connection)


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Make Unusable of SQLite's errors, and name the file."""
    try:
        yield
    except (sqlite3.Error, Unusable) as error:
        raise Unusable(f"{path}: {error}") from None


def _require_same(path: Path, found: Identity) -> None:
    if identity(inspect(path)) != found:
        raise Unusable("it was replaced while it was read")


class Generation:
    """One complete listing. Every method raises Unusable where the file turns out damaged.

    ``identity`` is the file's; ``plain`` says that no domain answers for what isn't listed.
    """

    def __init__(
        self, connection: sqlite3.Connection, meta: Meta, found: Identity, *, plain: bool
    ) -> None:
        self.meta = meta
        self.identity = found
        self.plain = plain
        self._connection = connection
        self._key = meta.key

    def presence(self, address: str) -> str | None:
        """What is listed for an address; None where nothing is. A lookup, not a proof."""
        return self._one(RECIPIENTS, address)

    def others(self, domain: str) -> str | None:
        """What is listed for the other addresses of a domain; None where it isn't ours."""
        return self._one(DOMAINS, domain)

    def proven_presence(self, address: str) -> str | None:
        """As :meth:`presence`, by the digest of all rows around it: "nothing" is proven too."""
        return self._proven(RECIPIENTS, address)

    def proven_others(self, domain: str) -> str | None:
        """As :meth:`others`, proven."""
        return self._proven(DOMAINS, domain)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _one(self, part: Part, key: str) -> str | None:
        try:
            row = self._connection.execute(part.one, (key,)).fetchone()
        except sqlite3.Error as error:
            raise Unusable(f"it is damaged: {error}") from None
        return row[0] if row is not None else None

    def _proven(self, part: Part, key: str) -> str | None:
        try:
            row = self._connection.execute(PROOF, (part.name, key)).fetchone()
            lines = _proven_lines(self._connection, self._key, part, *row) if row else None
        except sqlite3.Error as error:
            raise Unusable(f"it is damaged: {error}") from None
        if lines is None or key < row[0] or (row[1] is not None and key >= row[1]):
            raise Unusable("it is damaged: a range has no proof")
        for line in lines:
            if line.startswith(f"{key}\t"):
                return line[len(key) + 1 :]
        return None


def _verify(connection: sqlite3.Connection) -> Meta:
    """Prove every row: each range gives its digest, and the ranges leave no gap."""
    meta = read_meta(connection)
    for part, number in ((RECIPIENTS, meta.recipients), (DOMAINS, meta.domains)):
        begin: str | None = ""
        rows = 0
        for low, high, proof in connection.execute(PROOFS, (part.name,)):
            if low != begin:
                raise Unusable("it is damaged: its proofs have a gap")
            rows += len(_proven_lines(connection, meta.key, part, low, high, proof))
            begin = high
        if begin is not None or rows != number:
            raise Unusable("it is damaged: rows are missing")
    return meta


def _proven_lines(
    connection: sqlite3.Connection, key: bytes, part: Part, low: str, high: str | None, proof: bytes
) -> list[str]:
    """The rows of a range, as lines. Raises Unusable when they don't give its digest."""
    bounds = (low, END if high is None else high)
    (lines,) = connection.execute(part.range, bounds).fetchone()
    if range_digest(key, part, low, high, lines or "") != proof:
        raise Unusable("it is damaged: rows were changed or lost")
    return str(lines).split("\n") if lines else []
