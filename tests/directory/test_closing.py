"""What is left of a connection that was let go of while its server was still at work."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

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
