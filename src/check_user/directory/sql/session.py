"""A session: one held connection, read-only by habit and in AUTOCOMMIT by proof.

AUTOCOMMIT is an invariant, not an option: within a transaction a database may go on showing the
past, and an account made two seconds ago would be refused. So it is asserted on each connection.

A session belongs to the process that opened it: used after a fork, two processes would read each
other's answers. That is refused.

``abort`` never waits. Whatever the server does, the socket is closed from our side.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql import Executable
from sqlalchemy.util import greenlet_spawn

from check_user.directory import Misconfigured
from check_user.directory.sql.compiled import (
    Compiled,
    Rows,
    Statement,
    call_of,
    compile_for,
    fetch,
)
from check_user.directory.sql.drivers import (
    Endpoint,
    connect_arguments,
    dialect_of,
    session_statements,
    url_of,
)
from check_user.directory.sql.faults import is_authentication
from check_user.directory.sql.options import SqlOptions
from check_user.directory.sql.resolver import Resolver

ResultT = TypeVar("ResultT")


class Session:
    """One open connection to one endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        connection: Connection,
        stale: Callable[[], bool],
        shapes: dict[Statement, Compiled],
        ending: set[asyncio.Future[Any]],
    ) -> None:
        self.endpoint = endpoint
        self.connection = connection
        self._shapes = shapes
        raw: Any = connection.connection.driver_connection
        self._call = call_of(raw)
        self._ending = ending
        self._end: asyncio.Future[Any] | None = None
        self._stale = stale
        self._process = os.getpid()

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect, for quoting and for what it knows about the server."""
        return self.connection.dialect

    async def execute(self, statement: Executable, values: dict[str, str]) -> Rows:
        """Run one statement and fetch its rows. Raises what SQLAlchemy or the driver raises."""
        self._assert_usable()
        return await greenlet_spawn(_execute, self.connection, statement, values)

    async def fetch(self, statement: Statement, values: dict[str, str]) -> Rows:
        """Run a lookup and fetch its rows, by the shortest way. Raises what the driver raises."""
        self._assert_usable()
        shape = self._shapes.get(statement) or self.compile(statement)
        if self._call is not None:
            return await self._call(shape.text, shape.bind(values))
        return await greenlet_spawn(fetch, self.connection, shape, values)

    def compile(self, statement: Statement) -> Compiled:
        """Compile a lookup, once for all sessions on this endpoint; a large one takes 0.1 s."""
        shape = self._shapes[statement] = compile_for(self.dialect, statement)
        return shape

    def _assert_usable(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError("a database connection was carried across a fork")
        if self._stale():
            raise ConnectionResetError("the database's file was replaced or removed")

    async def run(self, work: Callable[..., ResultT], *arguments: object) -> ResultT:
        """Call ``work(connection, *arguments)``, written as for a driver that blocks.

        This is how SQLAlchemy's own asyncio extension works; that would load the ORM besides, which
        nobody here needs and which takes eight megabytes.
        """
        return await greenlet_spawn(work, self.connection, *arguments)

    @property
    def ended(self) -> bool:
        """Whether it was aborted or the driver has found it broken: nothing can be asked on it."""
        return self.connection.invalidated

    def abort(self) -> None:
        """Close the connection at once, without a word to the server; again does no harm."""
        if not self.connection.invalidated:
            self._end = _cut(self.connection)
            if self._end is not None:
                self._ending.add(self._end)
                self._end.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        """Abort, and wait a second at most for the driver's thread to end, where it has one.

        aiosqlite's must not outlive the event loop: it hands its results over there.
        """
        self.abort()
        if self._end is not None:
            await asyncio.wait({self._end}, timeout=1.0)


def _cut(connection: Connection) -> asyncio.Future[Any] | None:
    """Close a connection at once; a driver's thread, where it has one, ends with the future."""
    stop = getattr(connection.connection.driver_connection, "stop", None)
    end: asyncio.Future[Any] | None = None if stop is None else stop()
    # Outside of a coroutine SQLAlchemy closes the socket without a farewell.
    connection.invalidate()
    return end


async def _let_go(opening: asyncio.Task[Connection]) -> None:
    """Close what is opened too late, and wait for the driver's thread to end."""
    with suppress(DBAPIError):
        end = _cut(await opening)
        if end is not None:
            await end


def _execute(connection: Connection, statement: Executable, values: dict[str, str]) -> Rows:
    return connection.execute(statement, values).fetchall()


class Opener:
    """Opens sessions; keeps one SQLAlchemy engine an endpoint, so that statements compile once."""

    def __init__(self, options: SqlOptions) -> None:
        self._options = options
        self._resolver = Resolver()
        self._engines: dict[Endpoint, Engine] = {}
        self._addresses: dict[Endpoint, str] = {}
        self._turns: Counter[Endpoint] = Counter()
        self._shapes: dict[Endpoint, dict[Statement, Compiled]] = {}
        self.ending: set[asyncio.Future[Any]] = set()
        """Futures that are done when the drivers' threads of aborted sessions have ended."""

    async def __call__(self, endpoint: Endpoint) -> Session:
        """Open a session on ``endpoint``.

        A name may have several addresses: they are tried in turn, beginning with the one that
        answered last; a silent one is passed over by the next attempt.

        Has no deadline of its own. Raises Misconfigured, OSError or what the driver raises.
        """
        if not endpoint.host:
            return await self._open(endpoint)
        addresses = await self._resolver.resolve(endpoint.host)
        for _ in addresses[1:]:
            try:
                return await self._open_at(endpoint, addresses)
            except (OSError, DBAPIError) as error:
                if is_authentication(error):
                    raise
        return await self._open_at(endpoint, addresses)

    async def _open_at(self, endpoint: Endpoint, addresses: tuple[str, ...]) -> Session:
        """Open a session at the address whose turn it is; if it fails, it is the next one's."""
        turn = self._turns[endpoint]
        self._addresses[endpoint] = addresses[turn % len(addresses)]
        try:
            return await self._open(endpoint)
        except BaseException:
            self._turns[endpoint] = turn + 1
            raise

    async def _open(self, endpoint: Endpoint) -> Session:
        engine = self._engines.get(endpoint) or self._engine(endpoint)
        stale = self._watch(endpoint)
        connection = await self._connect(engine)
        raw = connection.connection.dbapi_connection
        shapes = self._shapes.setdefault(endpoint, {})
        session = Session(endpoint, connection, stale, shapes, self.ending)
        try:
            await self._prepare(connection, raw)
        except Exception:
            await session.aclose()
            raise
        except BaseException:
            session.abort()
            raise
        return session

    async def _connect(self, engine: Engine) -> Connection:
        """Open a connection, or be cancelled.

        aiosqlite loses sight of its thread when its own opening is cancelled, and the thread may
        outlive the event loop then. So that is left to end, and what it opens is closed.
        """
        if engine.dialect.driver != "aiosqlite":
            return await greenlet_spawn(engine.connect)
        opening = asyncio.create_task(greenlet_spawn(engine.connect))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            leaving = asyncio.create_task(_let_go(opening))
            self.ending.add(leaving)
            leaving.add_done_callback(self.ending.discard)
            raise

    def _engine(self, endpoint: Endpoint) -> Engine:
        try:
            engine = create_engine(
                url_of(self._options, endpoint),
                poolclass=NullPool,
                isolation_level="AUTOCOMMIT",
                skip_autocommit_rollback=True,
                hide_parameters=True,
                connect_args=connect_arguments(self._options, endpoint),
            )
        except (NoSuchModuleError, ArgumentError) as error:
            raise Misconfigured(f"driver '{self._options.driver}': {error}") from error
        except ModuleNotFoundError as error:
            raise Misconfigured(
                f"the Python package '{error.name}' is missing for driver "
                f"'{self._options.driver}': install check-user with its extra for this database"
            ) from error
        if endpoint.host:
            event.listen(engine, "do_connect", self._give_address(endpoint))
        self._engines[endpoint] = engine
        return engine

    def _give_address(self, endpoint: Endpoint) -> Callable[..., None]:
        def give(_dialect: object, _record: object, _args: object, given: dict[str, Any]) -> None:
            if "host" in given:
                given["host"] = self._addresses[endpoint]

        return give

    async def _prepare(self, connection: Connection, raw: Any) -> None:
        dialect = connection.dialect
        if not dialect.detect_autocommit_setting(raw):
            raise Misconfigured(f"driver '{self._options.driver}' can't do AUTOCOMMIT")
        mariadb = bool(getattr(dialect, "is_mariadb", False))
        for statement in session_statements(self._options, mariadb=mariadb):
            await greenlet_spawn(connection.execute, text(statement))

    def _watch(self, endpoint: Endpoint) -> Callable[[], bool]:
        """SQLite goes on reading a file that was renamed or removed; others tell us themselves."""
        if not dialect_of(self._options).startswith("sqlite"):
            return _never
        path = Path(endpoint.socket)
        opened = file_identity(path)
        if opened is None:
            raise FileNotFoundError(f"the database file {path} doesn't exist")
        return lambda: file_identity(path) != opened


def _never() -> bool:
    return False


def file_identity(path: Path) -> tuple[int, int] | None:
    """What makes a file itself: its device and inode; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
