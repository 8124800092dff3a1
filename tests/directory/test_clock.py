"""The wall clock jumps, the promise doesn't: every limit is kept by the monotonic clock."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from tests.directory.asking import BACK, DEADLINE, options_for
from tests.directory.elsewhere import elsewhere
from tests.peers.database import DatabaseServer
from tests.peers.faultproxy import FaultProxy


@pytest.mark.fault("OS10")
async def test_the_wall_clock_jumps(database: DatabaseServer, tmp_path: Path) -> None:
    """An hour forth and two back while the database is frozen: DENYSOFT within 3 s; then right
    within 2 s, the clock still off."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    environment = {
        **os.environ,
        "LD_PRELOAD": "/usr/$LIB/faketime/libfaketimeMT.so.1",
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    async with FaultProxy((database.host, database.port)) as proxy:
        options = options_for(database, port=proxy.port)
        async with elsewhere(options, environment=environment) as said:
            assert (await said("open"))[0]
            assert all(right for right, _, _ in await said("ask"))
            proxy.pause()
            asking = asyncio.create_task(said("ask"))
            for offset in ("+3600", "-3600"):
                await asyncio.sleep(0.8)  # in the middle of the questions' three seconds
                clock.write_text(offset)
            answers = await asking
            assert all(soft and seconds <= DEADLINE for _, soft, seconds in answers), answers
            assert await said("clock") < time.time() - 3500
            proxy.resume()
            assert await said("await") <= BACK
            clock.write_text("+86400")
            assert all(right for right, _, _ in await said("ask"))
