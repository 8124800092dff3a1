"""The database is frozen, killed, full, locked: every answer in time, none wrong, and soon back."""

from __future__ import annotations

import asyncio
import time

import pytest

from check_user.directory import Unavailable
from check_user.verdict import Action, Reason
from tests.directory.asking import (
    AT_ONCE,
    BACK,
    DEADLINE,
    KNOWN,
    UNKNOWN,
    Answered,
    Asking,
    asking,
    connections,
    disconnect,
    eventually,
    options_for,
)
from tests.peers.database import DatabaseServer


def is_soft(answer: Answered) -> bool:
    return answer.action is Action.DENYSOFT and answer.seconds <= DEADLINE


async def refused_at_once(ask: Asking, times: int = 100) -> bool:
    """Whether the breaker answers: p99 of 100 questions within 50 ms."""
    answers = [await ask((KNOWN, UNKNOWN)[n % 2]) for n in range(times)]
    assert all(is_soft(answer) for answer in answers)
    return sorted(answer.seconds for answer in answers)[-2] <= AT_ONCE


@pytest.mark.fault("DB02", "DB03")
async def test_a_frozen_database(database: DatabaseServer) -> None:
    """Frozen: every answer within 3 s, with connections and without; at once when the breaker is
    open; opening a directory fails in time; right within 2 s after it goes on."""
    async with asking(database) as held, asking(database) as empty:
        disconnect(database)
        assert (await held(KNOWN)).right
        database.freeze()
        begun = time.monotonic()
        opening = asyncio.create_task(opens(database))
        answers = await asyncio.gather(held(KNOWN), held(UNKNOWN), empty(KNOWN), empty(UNKNOWN))
        assert all(is_soft(answer) for answer in answers), answers
        assert not await opening
        assert time.monotonic() - begun <= DEADLINE + AT_ONCE
        for ask in (held, empty):
            await eventually(lambda ask=ask: not ask.directory.status().available, 0.5)
            assert await refused_at_once(ask)
        database.thaw()
        assert max(await asyncio.gather(held.until_right(), empty.until_right())) <= BACK


async def opens(database: DatabaseServer) -> bool:
    try:
        async with asking(database):
            return True
    except Unavailable:
        return False


@pytest.mark.fault("DB01", "DB12")
async def test_a_killed_database(database: DatabaseServer) -> None:
    """Killed: DENYSOFT at once, whoever is asked for; right within 2 s after it answers again."""
    async with asking(database) as ask:
        assert all(answer.right for answer in await ask.everything())
        database.kill()
        answers = await ask.everything()
        assert all(is_soft(answer) and answer.seconds <= AT_ONCE for answer in answers), answers
        assert await refused_at_once(ask)
        assert not await opens(database)
        await asyncio.to_thread(database.start)
        assert await ask.until_right() <= BACK
        assert all(answer.right for answer in await ask.everything())
