"""What is left of a connection that was let go of while its server was still at work."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from check_user.directory.sql import SqlOptions, create_sample
from check_user.directory.sql.connector import Connector
from check_user.directory.sql.drivers import endpoints_of
from check_user.directory.sql.session import Opener, Session


async def prove(session: Session) -> None:
    """Prove nothing: these tests ask no question about users."""


async def test_no_thread_outlives_the_end(tmp_path: Path) -> None:
    """The end waits for the threads of connections that were aborted before: one that hands its
    result to an event loop that is gone dies with a traceback."""
    file = tmp_path / "accounts.sqlite"
    await create_sample(file)
    options = SqlOptions(driver="sqlite", database=str(file))
    connector = Connector(
        endpoints_of(options), Opener(options), prove, soft=1.0, timeout=3.0, report=print
    )
    before = set(threading.enumerate())
    session = await connector.open()
    (thread,) = set(threading.enumerate()) - before
    with closing(sqlite3.connect(file, isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        driver: Any = session.connection.connection.driver_connection
        asking = asyncio.create_task(driver.execute_fetchall("SELECT 1 FROM emailtable"))
        await asyncio.sleep(0)  # the statement is the thread's now, and waits for the lock
        session.abort()
        asyncio.get_running_loop().call_later(0.2, lock.execute, "ROLLBACK")
        await connector.close()
        thread.join(0.2)  # its last word to the loop is not yet its end
        assert not thread.is_alive()
        assert not lock.in_transaction
    assert await asking


async def test_an_opening_that_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end waits for a file that a slow disk was opening when nobody wanted it any more."""
    file = tmp_path / "accounts.sqlite"
    await create_sample(file)
    options = SqlOptions(driver="sqlite", database=str(file))
    connector = Connector(
        endpoints_of(options), Opener(options), prove, soft=1.0, timeout=3.0, report=print
    )
    begun, disk = threading.Event(), threading.Event()

    def slow(*arguments: Any, **named: Any) -> Any:
        begun.set()
        assert disk.wait(10)
        return connect(*arguments, **named)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", slow)
    loop, executor = asyncio.get_running_loop(), ThreadPoolExecutor(1)
    await loop.run_in_executor(executor, int)  # its thread is there now, and isn't meant below
    before = set(threading.enumerate())
    opening = asyncio.create_task(connector.open())
    await loop.run_in_executor(executor, begun.wait, 10)
    (thread,) = set(threading.enumerate()) - before
    opening.cancel()
    await asyncio.wait({opening})
    loop.call_later(0.2, disk.set)
    await connector.close()
    executor.shutdown()
    thread.join(0.2)  # its last word to the loop is not yet its end
    assert disk.is_set()
    assert not thread.is_alive()
