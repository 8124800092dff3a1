"""Chaos: every answer of a real ``check-user serve`` is judged while its database comes and goes.

The short form has one fault of each kind; the long one asks a million questions, with faults of
random kinds, lengths and pauses, and prints what it counted.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest

from tests.chaos.clients import CLIENTS, Clients
from tests.chaos.site import Site
from tests.chaos.truth import LISTED
from tests.peers.fixtures import NewMariaDB

DENY_MAX_AGE = 3.0
"""Seconds: short, so that the database is away for longer."""

NEEDLESS = 0.01
"""Of the answers while the database can be asked, so many may be DENYSOFT."""

CHANGES = 0.1
"""Seconds between two changes of accounts."""

MILLION = 1_000_000


@pytest.fixture
def site(peer_folder: Path, new_mariadb: NewMariaDB) -> Iterator[Site]:
    mariadb = new_mariadb()
    mariadb.start()
    made = Site(peer_folder, mariadb, DENY_MAX_AGE)
    try:
        made.start()
        yield made
    finally:
        mariadb.thaw()
        made.server.stop()


Faults = Callable[[Site, asyncio.Event], Awaitable[int]]
"""Brings faults about until the event is set, or there are no more; gives the workers killed."""


async def one_of_each(site: Site, _: asyncio.Event) -> int:
    """The database is frozen for longer than the replica may refuse; it dies; it is restarted; a
    worker dies."""
    await asyncio.sleep(1)
    await site.freeze(DENY_MAX_AGE + 2)
    await asyncio.sleep(2)
    await site.kill(1)
    await asyncio.sleep(2)
    await site.restart()
    site.kill_worker()
    await asyncio.sleep(1)
    return 1


async def at_random(site: Site, enough: asyncio.Event) -> int:
    """The same in any order; some pauses are long enough for the replica to be as it should."""
    killed = 0
    while not enough.is_set():
        pause = random.uniform(20, 30) if random.random() < 0.15 else random.uniform(1, 6)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await enough.wait()
        match random.choice(["freeze", "freeze", "kill", "kill", "restart", "worker"]):
            case "freeze":
                await site.freeze(random.uniform(0.2, 3 * DENY_MAX_AGE))
            case "kill":
                await site.kill(random.uniform(0, 3 * DENY_MAX_AGE))
            case "restart":
                await site.restart()
            case _:
                site.kill_worker()
                killed += 1
    return killed


async def changes(site: Site) -> None:
    """Accounts come and go, for ever."""
    while True:
        await site.change()
        await asyncio.sleep(CHANGES)


@pytest.mark.fault("DB01", "DB02", "DB12", "DB13", "RP18", "RP21")
@pytest.mark.parametrize(
    ("questions", "faults"),
    [
        pytest.param(5_000, one_of_each, id="short"),
        pytest.param(
            MILLION, at_random, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(3600)]
        ),
    ],
)
async def test_chaos(site: Site, questions: int, faults: Faults) -> None:
    """While accounts come and go, and the database freezes, dies and returns, nobody who is there
    is refused, nobody who isn't is accepted beyond what a listing's age allows, known users are
    known all the time, and every answer comes in time; nothing needs a hand."""
    clients = Clients(site, questions)
    begun = monotonic()
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run())
        beside = [group.create_task(changes(site)), group.create_task(site.watch())]
        killed = await faults(site, clients.enough)
        await clients.enough.wait()
        for task in beside:
            task.cancel()
        clients.end()
    truth = site.truth
    sys.stdout.write(  # for `pytest -s`, and for docs/long-runs.md
        f"{truth}; {monotonic() - begun:.0f} s; {killed} workers killed, {clients.lost} questions "
        "lost\n"
    )
    assert not truth.wrong, truth.wrong[:20]
    assert truth.starved <= LISTED
    assert clients.lost <= killed * CLIENTS
    assert truth.settled["DENYSOFT"] <= NEEDLESS * truth.settled.total()
    assert {"DENY", "DECLINED known", "DECLINED foreign", "DENYSOFT"} == set(truth.answers)
