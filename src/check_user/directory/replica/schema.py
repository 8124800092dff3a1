"""The format: what is in a replica's file, and how it proves itself. See ``docs/replica.md``.

A replica is a SQLite database that is never written to once it is in place: a new generation is a
new file. Two tables are an interface, for mail servers' own lookups::

    recipients  address   presence        anna@example.org   known
    domains     domain    others          example.org        unknown

``presence`` is what is answered for the address, ``others`` what is answered for an address of the
domain that isn't in ``recipients`` (see ``listing``). Both keys are canonical (``address``), and
compared octet by octet.

The other two are the proof. SQLite has no checksums of its own: with a few bits flipped, a lookup
just finds nothing. So the sorted rows of a table are cut into ranges of RANGE rows, and ``proofs``
holds a digest of each: of its bounds (from ``low``, up to but without ``high``) and of its rows in
their order, one ``KEY <tab> WORD`` a line. Reading a range goes the way of a lookup, down the tree
from its root, so a range that gives its digest shows that a lookup between its bounds tells the
truth: that what isn't in it isn't there. ``meta`` says when and from where it was listed, with a
digest of itself. Every digest is keyed (BLAKE2b, RFC 7693) with 16 random octets of this
generation: pages of another generation, copied over it, prove nothing.

It keeps no damage from happening and no one who can write the file from lying; see ``trust``.
"""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from check_user.directory.replica.clock import Stamp
from check_user.directory.replica.trust import Unusable

FORMAT = "1"

RANGE = 128
"""Rows of a range: proving one takes some 0.1 ms, and costs half an octet a row."""

END: bytes = b""
"""Greater than every key: SQLite sorts any BLOB after any TEXT."""

TABLES = {
    "recipients": "CREATE TABLE recipients (address TEXT PRIMARY KEY, presence TEXT NOT NULL) "
    "WITHOUT ROWID",
    "domains": "CREATE TABLE domains (domain TEXT PRIMARY KEY, others TEXT NOT NULL) WITHOUT ROWID",
    "proofs": "CREATE TABLE proofs (part TEXT, low TEXT, high TEXT, digest BLOB NOT NULL, "
    "PRIMARY KEY (part, low)) WITHOUT ROWID",
    "meta": "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
}

SCHEMA = "SELECT name, sql FROM sqlite_schema ORDER BY name"
META = "SELECT name, value FROM meta ORDER BY name"
PROOFS = "SELECT low, high, digest FROM proofs WHERE part = ? ORDER BY low"
PROOF = "SELECT low, high, digest FROM proofs WHERE part = ? AND low <= ? ORDER BY low DESC LIMIT 1"


class Part(NamedTuple):
    """The statements about one of the two tables: a row, and the lines of a range.

    ``range`` goes from a key up to but without another; ``after`` gives the RANGE rows after a key.
    """

    name: str
    one: str
    range: str
    after: str


RECIPIENTS = Part(
    "recipients",
    "SELECT presence FROM recipients WHERE address = ?",
    "SELECT group_concat(line, char(10)) FROM (SELECT address || char(9) || presence AS line "
    "FROM recipients WHERE address >= ? AND address < ? ORDER BY address)",
    "SELECT group_concat(line, char(10)) FROM (SELECT address || char(9) || presence AS line "
    "FROM recipients WHERE address > ? ORDER BY address LIMIT ?)",
)
DOMAINS = Part(
    "domains",
    "SELECT others FROM domains WHERE domain = ?",
    "SELECT group_concat(line, char(10)) FROM (SELECT domain || char(9) || others AS line "
    "FROM domains WHERE domain >= ? AND domain < ? ORDER BY domain)",
    "SELECT group_concat(line, char(10)) FROM (SELECT domain || char(9) || others AS line "
    "FROM domains WHERE domain > ? ORDER BY domain LIMIT ?)",
)


@dataclass(frozen=True, slots=True)
class Meta:
    """What a generation says of itself.

    ``number`` counts the generations, ``nonce`` is the key of its digests (hexadecimal), ``source``
    tells which database and tables were listed, ``content`` is a digest of all rows (equal for
    equal rows). ``listed`` is when the listing began, ``took`` its seconds; ``skipped`` rows held
    no address, ``example`` for one.
    """

    number: int
    nonce: str
    source: str
    content: str
    recipients: int
    domains: int
    listed: Stamp
    took: float
    skipped: int
    example: str

    @property
    def key(self) -> bytes:
        """The key of this generation's digests."""
        return bytes.fromhex(self.nonce)

    def rows(self) -> dict[str, str]:
        """The rows of the table ``meta``, its digest among them."""
        values = {"format": FORMAT}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Stamp):
                values |= {"boot": value.boot, "listed": repr(value.seconds)}
                values["listed_wall"] = repr(value.wall)
            else:
                values[field.name] = str(value)
        values["digest"] = self._digest(values)
        return values

    @classmethod
    def of_rows(cls, rows: dict[str, str]) -> Meta:
        """Read the table. Raises Unusable when its digest isn't right."""
        try:
            meta = cls(
                number=int(rows["number"]),
                nonce=rows["nonce"],
                source=rows["source"],
                content=rows["content"],
                recipients=int(rows["recipients"]),
                domains=int(rows["domains"]),
                listed=Stamp(rows["boot"], float(rows["listed"]), float(rows["listed_wall"])),
                took=float(rows["took"]),
                skipped=int(rows["skipped"]),
                example=rows["example"],
            )
            intact = meta.rows() == rows
        except (KeyError, ValueError):
            intact = False
        if not intact:
            raise Unusable("it is damaged, or of another version: its meta table is wrong")
        return meta

    def _digest(self, values: dict[str, str]) -> str:
        text = "\n".join(f"{name}\t{value}" for name, value in sorted(values.items()))
        return digest(self.key, text).hex()


def digest(key: bytes, text: str) -> bytes:
    """16 octets of BLAKE2b, keyed."""
    return hashlib.blake2b(text.encode(), digest_size=16, key=key).digest()


def range_digest(key: bytes, part: Part, low: str, high: str | None, lines: str) -> bytes:
    """Digest a range: whose it is, its bounds (None: there is no higher key) and its rows."""
    return digest(key, f"{part.name}\n{low}\n{high or ''}\n{lines}")


def connect(path: Path) -> sqlite3.Connection:
    """Open a file that doesn't change, without locks and journals. Raises sqlite3.Error.

    Through read(2), never mmap(2): who truncates the file under us makes an error, not a SIGBUS.
    """
    address = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    connection = sqlite3.connect(
        address, uri=True, isolation_level=None, check_same_thread=False, cached_statements=16
    )
    connection.execute("PRAGMA mmap_size = 0")
    return connection


def read_meta(connection: sqlite3.Connection) -> Meta:
    """Read what a file says of itself, once its tables are those of this format.

    Raises Unusable or sqlite3.Error.
    """
    if dict(connection.execute(SCHEMA)) != TABLES:
        raise Unusable("it is no replica of this version: its tables are others")
    return Meta.of_rows(dict(connection.execute(META)))
