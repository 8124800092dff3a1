"""What the database servers have in common: accounts, an administrator's client, a template.

Each template holds the database ``maildb`` and the account ``check_user``, password ``secret``,
which may SELECT in it and nothing else. Durability is off everywhere.
"""

from __future__ import annotations

import shutil
import subprocess
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.peers.process import Server, free_port

DATABASE = "maildb"
USER = "check_user"
PASSWORD = "secret"


class SqlError(Exception):
    """A statement was refused; the message is that of the server's own client."""


@dataclass(frozen=True, slots=True)
class Tls:
    """A server certificate with its key, and the authority that clients' ones must come from."""

    cert: Path
    key: Path
    ca: Path | None = None


class DatabaseServer(Server):
    """A database server on ``host:port`` and, below its folder, on a unix socket.

    ``folder`` must exist; ``options`` are added to the command line; ``tls`` switches TLS on.
    ``user``, ``password`` and ``database`` are those of the template.
    """

    host = "127.0.0.1"
    user = USER
    password = PASSWORD
    database = DATABASE

    def __init__(
        self, folder: Path, *, owner: str, options: Sequence[str] = (), tls: Tls | None = None
    ) -> None:
        super().__init__(folder, owner=owner)
        self.give(folder)
        self.port = free_port()
        self.data = folder / "data"
        self.options = [*options, *(self.tls_options(tls) if tls else [])]

    @abstractmethod
    def tls_options(self, tls: Tls) -> list[str]:
        """The options that switch TLS on."""

    @abstractmethod
    def client(self, sql: str, database: str) -> subprocess.CompletedProcess[str]:
        """Run statements through the server's own command line client."""

    @property
    @abstractmethod
    def administration(self) -> str:
        """A database that is always there."""

    def answers(self) -> bool:
        return self.client("SELECT 1", self.administration).returncode == 0

    def execute(self, sql: str, database: str = DATABASE) -> list[str]:
        """Run statements as the administrator and give the rows' lines. Raises SqlError."""
        result = self.client(sql, database)
        if result.returncode:
            raise SqlError(result.stderr.strip())
        return result.stdout.splitlines()

    def clean(self) -> None:
        """Run, whatever was done to it, with an empty ``maildb``."""
        self.thaw()
        if not self.running:
            self.start()
        for statement in (f"DROP DATABASE IF EXISTS {DATABASE}", f"CREATE DATABASE {DATABASE}"):
            self.execute(statement, self.administration)

    def give(self, path: Path) -> Path:
        """Make the server's account the owner of ``path``, where it has one of its own."""
        if self.owner is not None:
            shutil.chown(path, self.owner, self.owner)
        return path

    def own_copy(self, source: Path, name: str) -> Path:
        """A copy of a key or certificate that only the server may read."""
        copy = self.give(Path(shutil.copyfile(source, self.folder / name)))
        copy.chmod(0o600)
        return copy

    def initialise(self, *commands: Sequence[str]) -> None:
        """Run the commands that make the data folder, as the server's account."""
        for command in commands:
            subprocess.run(
                command,
                check=True,
                capture_output=True,
                cwd="/",
                user=self.owner,
                group=self.owner,
                extra_groups=None if self.owner is None else [],
            )


def copy_data(template: Path, folder: Path) -> None:
    """Copy the data folder below ``template`` to ``folder``, owners and all."""
    subprocess.run(["cp", "-a", template / "data", folder / "data"], check=True)
