"""The databases with a replica before them: the same backends as the SQL directory's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from check_user.directory import Directory
from check_user.directory.front import FrontDirectory
from check_user.directory.refresh import Feeder
from check_user.directory.replica import Clock, Replica
from check_user.directory.sql import open_directory
from check_user.directory.sql.listing import open_listing
from tests.directory.asking import eventually
from tests.directory.backends import Backend, OnMariaDB, OnPostgreSQL, Sqlite
from tests.directory.replica.keeping import ACCEPT_MAX_AGE, DENY_MAX_AGE, SOURCE


class Fronted(Backend):
    """A backend whose directories have a replica before them, listed when they are opened.

    ``clock`` is the replicas'; ``feeders`` are one for each directory, which don't run.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.clock = Clock()
        self.feeders: list[Feeder] = []
        self.replicas: list[Replica] = []
        self.folder = Path()

    async def open(self, **settings: Any) -> Directory:
        options = self.options(**settings)
        path = self.folder / f"replica{len(self.opened)}.db"
        report = self.reports.append
        feeder = Feeder(
            path,
            SOURCE,
            lambda: open_listing(options, report),
            every=60,
            report=report,
            clock=self.clock,
        )
        await feeder.refresh(accept_loss=True)
        replica = Replica(path, SOURCE, report=lambda _: None, clock=self.clock)
        await replica.look()
        front = FrontDirectory(
            replica,
            await open_directory(options, report),
            feeder,
            accept_max_age=ACCEPT_MAX_AGE,
            deny_max_age=DENY_MAX_AGE,
        )
        self.opened.append(front)
        self.feeders.append(feeder)
        self.replicas.append(replica)
        return front


class FrontedSqlite(Fronted, Sqlite):
    """SQLite behind a replica."""

    async def close(self) -> None:
        """Close what was opened; aiosqlite's threads end a little later, but before the loop."""
        await super().close()
        await eventually(
            lambda: not any("_connection_worker" in t.name for t in threading.enumerate())
        )

    def away(self) -> None:
        """Take the database away."""
        self.path.rename(self.path.with_suffix(".away"))

    def back(self) -> None:
        """Bring it back."""
        self.path.with_suffix(".away").rename(self.path)


class FrontedMariaDB(Fronted, OnMariaDB):
    """MariaDB behind a replica."""

    def away(self) -> None:
        """Kill the server."""
        self.server.kill()

    def back(self) -> None:
        """Start it again."""
        self.server.start()


class FrontedPostgreSQL(Fronted, OnPostgreSQL):
    """PostgreSQL behind a replica."""

    def away(self) -> None:
        """Kill the server."""
        self.server.kill()

    def back(self) -> None:
        """Start it again."""
        self.server.start()


AnyFronted = FrontedSqlite | FrontedMariaDB | FrontedPostgreSQL

FRONTED: dict[str, Callable[[pytest.FixtureRequest], AnyFronted]] = {
    "sqlite": lambda request: FrontedSqlite(request.getfixturevalue("tmp_path")),
    "mariadb": lambda request: FrontedMariaDB(request.getfixturevalue("session_mariadb")),
    "postgresql": lambda request: FrontedPostgreSQL(request.getfixturevalue("session_postgresql")),
}


def made(request: pytest.FixtureRequest, name: str) -> AnyFronted:
    """The backend of this name, with its replicas in the test's own folder."""
    backend = FRONTED[name](request)
    backend.folder = request.getfixturevalue("tmp_path")
    return backend
