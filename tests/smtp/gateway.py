"""``check-user serve`` with an ``smtp`` door: a process, and qpsmtpd's files in its folder.

Its domains are example.org, as in the sample database, and ours.example, for which the next hops
take mail too. Whoever can be told from that is in :data:`ACCOUNTS`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from check_user.directory.sql import create_sample
from tests.app.serving import Serving, configure, resident
from tests.peers.process import NotReadyError, descendants, free_port
from tests.peers.smtp import OUTSIDER
from tests.smtp.client import SENDER, Client, Told

OURS = "ours.example"
ACCOUNTS = ("anna", "karl", "jürgen", "gone", "later", "raise", "raise-later")
ANNA, KARL, NOBODY = f"anna@{OURS}", f"karl@{OURS}", f"nobody@{OURS}"
FOREIGN = "somebody@elsewhere.example"
NAME = "gateway.example"
FILES = {"rcpthosts": f"{OURS}\nexample.org\n", "me": f"{NAME}\n"}
MAILDIR = "queue/maildir mail"


def plugins(queue: str, *before: str) -> str:
    """The usual file ``plugins``."""
    return "\n".join([*before, "check_user", "rcpt_ok", queue, ""])


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write qpsmtpd's files."""
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def create_accounts(folder: Path) -> None:
    """Make the database, unless it is there."""
    database = folder / "accounts.sqlite"
    if database.exists():
        return
    asyncio.run(create_sample(database))
    with sqlite3.connect(database) as connection:
        connection.execute("INSERT INTO domaintable VALUES (?)", (OURS,))
        rows = [(name, OURS) for name in ACCOUNTS]
        connection.executemany("INSERT INTO emailtable VALUES (?, ?, 'yes')", rows)
    connection.close()


class Gateway(Serving):
    """One process, which begins when entered. ``queue`` is a line of ``plugins``, or all of them.

    ``module`` is what runs it, if not check_user itself; ``keys`` are further ones of the
    configuration.
    """

    def __init__(
        self,
        folder: Path,
        queue: str,
        *,
        files: Mapping[str, str] | None = None,
        module: str = "check_user",
        **keys: str,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.keys = keys
        create_accounts(folder)
        lines = queue if "\n" in queue else plugins(queue)
        write(folder, {**FILES, "plugins": lines, **(files or {})})
        super().__init__(folder, self.configure())
        self.command[2] = module

    def __enter__(self) -> Gateway:
        try:
            super().__enter__()
        except TimeoutError:
            self.process.kill()
            self.process.wait()
            self._notify.close()
            raise NotReadyError(self.log.read_text()) from None
        return self

    def configure(self, **changes: str) -> Path:
        """Write the configuration, anew for a reload."""
        self.keys.update(changes)
        return configure(self.folder, f"smtp inet:127.0.0.1:{self.port}", **self.keys)

    def client(self, source: str = OUTSIDER) -> Client:
        """Connect to it."""
        return Client(self.port, source)

    def deliver(self, content: bytes, *names: str, how: str = "DATA") -> list[int]:
        """Send one mail in a session of its own; the codes from MAIL on."""
        with self.client() as client:
            codes = client.begin(*(names or (ANNA,)))
            if 250 in codes[1:]:
                codes.append(client.message(content, how)[0])
            return codes

    def delivered(self) -> list[bytes]:
        """What lies in its maildir."""
        return [each.read_bytes() for each in (self.folder / "mail" / "new").iterdir()]

    @property
    def resident(self) -> int:
        """Octets of memory of all its processes."""
        return sum(map(resident, [self.process.pid, *descendants(self.process.pid)]))


def one_rcpt(gateway: Gateway, name: str) -> Told:
    """The reply to one recipient, in a session of its own."""
    with gateway.client() as client:
        assert client.begin(sender=SENDER) == [250]
        return client.rcpt(name)
