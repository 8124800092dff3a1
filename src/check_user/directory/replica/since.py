"""What became of a generation since it was written: the small file ``REPLICA.since``.

A generation's file never changes, so what does has one of its own, replaced by rename(2): that a
later listing found the very same rows (which makes the generation as young as that listing), which
addresses the database has known that the listing didn't have yet, and why a later listing was
refused. Text: a digest of the rest in hexadecimal, then a JSON object::

    3f8a0c...
    {"generation": "9c1e...", "listed": ["d2c4... 4026531834", 5123.25, 1195826031.1],
     "known": {"new@example.org": 5124.5}, "refused": ""}

It belongs to the generation whose nonce it names and says nothing about others; one that is
damaged, somebody else's or missing is no loss: the replica is then as old as its own stamp says.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from check_user.directory.replica.clock import Stamp
from check_user.directory.replica.schema import Meta
from check_user.directory.replica.trust import Unusable, beside, give_to_owner, inspect

KEPT = 10_000
"""Addresses that are kept until the next listing; more are asked of the database each time."""

LONGEST = 4_000_000
"""Octets of the file: KEPT addresses of the greatest length."""


@dataclass(frozen=True, slots=True)
class Since:
    """``listed`` is when the last listing with these rows began; ``known`` are addresses that the
    database knows beyond them, with the clock's seconds when it said so; ``refused`` is why the
    last listing wasn't taken, empty if it was.
    """

    listed: Stamp
    known: dict[str, float] = field(default_factory=dict)
    refused: str = ""

    def confirmed(self, listed: Stamp) -> Since:
        """After a listing found the same rows: who was known before it began would be in them."""
        known = {key: at for key, at in self.known.items() if at >= listed.seconds}
        return Since(listed, known)

    def with_known(self, keys: dict[str, float]) -> Since:
        """Add addresses, as far as there is room: those of which the listing couldn't know."""
        newer = [(key, at) for key, at in keys.items() if at >= self.listed.seconds]
        room = KEPT - len(self.known)
        return replace(self, known=self.known | dict(newer[: max(room, 0)]))


def read_since(path: Path, meta: Meta) -> Since:
    """Read what has become of the generation ``meta`` of the replica at ``path``."""
    try:
        inspect(file := beside(path, "since"))
        with file.open("rb") as stream:
            data = stream.read(LONGEST)
        digest, _, text = data.partition(b"\n")
        if digest.decode() != _digest(text):
            return Since(meta.listed)
        values = json.loads(text)
        if values["generation"] != meta.nonce:
            return Since(meta.listed)
        return Since(Stamp(*values["listed"]), values["known"], values["refused"])
    except (Unusable, OSError, ValueError, KeyError, TypeError):
        return Since(meta.listed)


def write_since(path: Path, meta: Meta, since: Since) -> None:
    """Replace the file. The caller holds the lock. Raises OSError."""
    values = {
        "generation": meta.nonce,
        "listed": since.listed,
        "known": since.known,
        "refused": since.refused,
    }
    text = json.dumps(values, ensure_ascii=False).encode()
    new = beside(path, "since.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(new, flags, 0o640)
    try:
        give_to_owner(descriptor, path.parent)
        os.write(descriptor, _digest(text).encode() + b"\n" + text)
    finally:
        os.close(descriptor)
    new.replace(beside(path, "since"))


def _digest(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=16).hexdigest()
