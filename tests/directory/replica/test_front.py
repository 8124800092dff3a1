"""The directory in front: who decides when, and what is said while the database is away.

The database is a SQLite file, which a test moves away and back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from check_user.address import Address
from check_user.check import Check
from check_user.directory import Directory, Presence, Step, Trace, Unavailable
from check_user.directory.front import JOIN, FrontDirectory
from check_user.directory.refresh import Feeder
from check_user.directory.replica.trust import identity
from check_user.verdict import Reason
from tests.directory.accounts import tables
from tests.directory.asking import eventually
from tests.directory.backends import address, domain, presences
from tests.directory.replica.backends import FrontedSqlite
from tests.directory.replica.keeping import (
    ACCEPT_MAX_AGE,
    DENY_MAX_AGE,
    OURS,
    Away,
    Kept,
    MovedClock,
    domains,
    users,
)

KNOWN, UNKNOWN, FOREIGN = "anna@x.example", "nobody@x.example", "anna@y.example"
TRUTH = {KNOWN: Presence.KNOWN, UNKNOWN: Presence.UNKNOWN, FOREIGN: Presence.FOREIGN}
NEW = "new@x.example"


@dataclass
class Site:
    """A database with two users, a replica of it, and the directory in front of both."""

    backend: FrontedSqlite
    clock: MovedClock
    directory: Directory
    feeder: Feeder

    async def told(self, text: str) -> Presence | None:
        """What is said about an address; None: can't tell."""
        with suppress(Unavailable):
            return await self.directory.find(address(text))
        return None

    async def everything(self) -> dict[str, Presence | None]:
        return {text: await self.told(text) for text in TRUTH}

    async def lose_the_database(self) -> None:
        self.backend.away()
        await self.told("whoever@x.example")
        assert not self.directory.status().sentence.startswith("asking")

    async def look(self) -> None:
        await self.backend.replicas[0].look()

    def insert(self, text: str) -> None:
        self.backend.execute(self.backend.insert("users", [(text, None, None)]))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    backend = FrontedSqlite(tmp_path)
    backend.folder = tmp_path
    clock = MovedClock()
    backend.clock = clock
    backend.fill(tables(backend, [("anna", "x.example"), ("bert", "x.example")]))
    directory = await backend.open()
    yield Site(backend, clock, directory, backend.feeders[0])
    await backend.close()


def at_once(work: Awaitable[Presence]) -> Presence | None:
    """The result of a coroutine that never waits; None if it does."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as stop:
        presence: Presence = stop.value
        return presence
    steps.close()
    return None


async def test_known_at_once(site: Site) -> None:
    """Who is in the replica is known without waiting for anybody; who isn't, the database is asked
    for, and so is everybody when there is no replica."""
    find = site.directory.find
    assert at_once(find(address(KNOWN))) is Presence.KNOWN
    assert at_once(site.directory.find_domain(domain("x.example"))) is Presence.KNOWN
    assert at_once(find(address(UNKNOWN))) is None
    assert await site.everything() == TRUTH
    site.backend.folder.joinpath("replica0.db").write_bytes(b"")
    await site.look()
    assert at_once(find(address(KNOWN))) is None
    assert await site.everything() == TRUTH


@pytest.mark.fault("RP26", "RP27")
async def test_unknown_is_asked_each_time(site: Site) -> None:
    """An account made a moment ago is known, though the same address was unknown a moment before,
    and the replica is as it was; nothing that was unknown is kept in memory."""
    for number in range(20):
        text = f"new{number}@x.example"
        assert await site.told(text) is Presence.UNKNOWN
        site.insert(text)
        assert await site.told(text) is Presence.KNOWN
    for number in range(2000):
        assert await site.told(f"guess{number}@x.example") is Presence.UNKNOWN
    assert isinstance(site.directory, FrontDirectory)
    assert not site.directory._underway


async def test_a_deleted_user(site: Site) -> None:
    """Who was deleted is known until the next listing, and unknown from then on."""
    rows = [f"u{number}@x.example" for number in range(10)]
    for text in rows:
        site.insert(text)
    await site.feeder.refresh()
    await site.look()
    site.backend.execute(f"DELETE FROM users WHERE email = '{rows[0]}'")
    assert await site.told(rows[0]) is Presence.KNOWN
    await site.feeder.refresh()
    await site.look()
    assert await site.told(rows[0]) is Presence.UNKNOWN
    assert await site.told(rows[1]) is Presence.KNOWN


# The database away


@pytest.mark.fault("DB01", "RP21")
async def test_hours_without_the_database(site: Site) -> None:
    """An hour, then days of moved time: known users are known for as long as the operator allows;
    nobody is refused by a listing that is older than the bound; then nobody can tell. When the
    database is back, all is right again without anybody's help."""
    await site.lose_the_database()
    assert await site.everything() == TRUTH
    cannot_tell = dict.fromkeys(TRUTH)
    known_alone = {**cannot_tell, KNOWN: Presence.KNOWN}
    for seconds, said in (
        (DENY_MAX_AGE - 1, TRUTH),
        (DENY_MAX_AGE, known_alone),
        (3600, known_alone),
        (86_400, known_alone),
        (ACCEPT_MAX_AGE - 1, known_alone),
        (ACCEPT_MAX_AGE, cannot_tell),
    ):
        site.clock.moved = 1000.0 + seconds
        assert await site.everything() == said, seconds
    site.backend.back()
    await eventually(lambda: "can't be asked" not in site.directory.status().sentence)
    assert await site.everything() == TRUTH


@pytest.mark.fault("RP22")
async def test_an_account_made_while_we_are_cut_off(site: Site) -> None:
    """Cut off from a database that others go on writing to: past the bound the new account is
    "can't tell", never unknown."""
    await site.lose_the_database()
    site.backend.back()
    site.insert(NEW)
    site.backend.away()
    site.clock.moved += DENY_MAX_AGE
    assert await site.told(NEW) is None
    assert await site.told(KNOWN) is Presence.KNOWN


@pytest.mark.fault("RP30", "RP31")
async def test_after_a_reboot_without_the_database(site: Site) -> None:
    """After a reboot nobody knows how old the replica is: without the database nobody can tell
    anything, until it was listed once more."""
    await site.lose_the_database()
    site.clock.wall += 400 * 86400
    assert await site.everything() == TRUTH
    site.clock.reboot(1001.0)
    assert await site.everything() == dict.fromkeys(TRUTH)
    site.backend.back()
    await eventually(lambda: "can't be asked" not in site.directory.status().sentence)
    await site.feeder.refresh()
    await site.look()
    await site.lose_the_database()
    assert await site.everything() == TRUTH


async def test_never_refuse_from_the_replica(tmp_path: Path) -> None:
    """With ``replica_deny_max_age=0`` the replica alone refuses nobody, not even at once."""
    kept = Kept(tmp_path)
    await kept.refresh(users("anna"))
    front = await kept.front(Away(), deny_max_age=0.0)
    assert await front.find(address(KNOWN)) is Presence.KNOWN
    for text in (UNKNOWN, FOREIGN):
        with pytest.raises(Unavailable):
            await front.find(address(text))
    await front.aclose()


@pytest.mark.fault("RP04")
async def test_a_damaged_replica_refuses_nobody(tmp_path: Path) -> None:
    """Rows that rot away after the file was verified: their users are "can't tell", never unknown,
    and it is said why."""
    kept = Kept(tmp_path)
    names = [f"user{number:05}" for number in range(20_000)]
    await kept.refresh(users(*names))
    front = await kept.front(Away())
    generation = front._replica._generation
    assert generation is not None
    data = bytearray(kept.path.read_bytes())
    for page in range(4, len(data) // 4096, 2):
        data[page * 4096 : (page + 1) * 4096] = bytes(4096)
    kept.path.write_bytes(data)
    # A disk that rots changes nothing that stat(2) shows; and pages don't stay in memory for ever.
    generation.identity = front._replica._seen = identity(kept.path.lstat())
    generation._connection.execute("PRAGMA shrink_memory")
    soft = 0
    for name in names[::97]:
        try:
            assert await front.find(address(f"{name}@x.example")) is Presence.KNOWN
        except Unavailable:
            soft += 1
    assert soft
    assert any("can't be used" in line for line in kept.reports)
    await front.aclose()


async def test_a_question_that_failed(tmp_path: Path) -> None:
    """A single question that failed isn't a database that is away: whoever isn't in the replica may
    be in the database (made since), and isn't refused."""
    kept = Kept(tmp_path)
    await kept.refresh(users("anna"))
    front = await kept.front(Away(available=True))
    assert await front.find(address(KNOWN)) is Presence.KNOWN
    with pytest.raises(Unavailable):
        await front.find(address(UNKNOWN))
    await front.aclose()


@pytest.mark.parametrize(
    ("presence", "confirmed"),
    [(p, p not in {Presence.KNOWN, Presence.BASE, Presence.ALIAS_DOMAIN, Presence.CATCH_ALL,
                   Presence.RELAY}) for p in Presence],
)  # fmt: skip
async def test_what_is_confirmed(tmp_path: Path, presence: Presence, confirmed: bool) -> None:
    """Whatever isn't "it is there" is asked of the database, whose word counts; without it, the
    replica says what was listed."""
    kept = Kept(tmp_path)
    listed = [("anna@x.example", presence.value), *users("bert")]
    await kept.refresh(listed, [*OURS, *domains("d.example", others=presence.value)])
    database = Away()
    front = await kept.front(database)
    assert await front.find(address(KNOWN)) is presence
    assert await front.find(address("whoever@d.example")) is presence
    assert bool(database.asked) is confirmed
    await front.aclose()


# Equal questions


class Slow(Away):
    """A database that answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(available=True)
        self.answers: list[asyncio.Future[Presence]] = []

    async def find(self, address: Address, trace: Trace | None = None) -> Presence:
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[tuple[FrontDirectory, Slow]]:
    kept, database = Kept(tmp_path), Slow()
    await kept.refresh(users("anna"))
    front = await kept.front(database)
    yield front, database
    await front.aclose()


Ask = Callable[[], asyncio.Task[Presence]]


def asker(front: FrontDirectory) -> Ask:
    return lambda: asyncio.create_task(front.find(address(UNKNOWN)))


async def test_equal_questions_are_one(slow: tuple[FrontDirectory, Slow]) -> None:
    """A hundred equal questions at a time are one to the database, and all have its answer; one
    that comes later is a new one, since an answer must not be older than its question."""
    front, database = slow
    ask = asker(front)
    tasks = [ask() for _ in range(100)]
    await eventually(lambda: len(database.answers) == 1)
    await asyncio.sleep(2 * JOIN)
    late = ask()
    await eventually(lambda: len(database.answers) == 2)
    database.answers[0].set_result(Presence.UNKNOWN)
    assert set(await asyncio.gather(*tasks)) == {Presence.UNKNOWN}
    database.answers[1].set_result(Presence.KNOWN)
    assert await late is Presence.KNOWN
    assert not front._underway


async def test_the_one_who_asked_goes(slow: tuple[FrontDirectory, Slow]) -> None:
    """When whoever asked for all is cancelled, the others ask for themselves; when they are, nobody
    else notices; a failure is everybody's."""
    front, database = slow
    ask = asker(front)
    tasks = [ask() for _ in range(3)]
    await eventually(lambda: len(database.answers) == 1)
    tasks[0].cancel()
    tasks[1].cancel()
    await eventually(lambda: len(database.answers) == 2)
    database.answers[1].set_result(Presence.UNKNOWN)
    assert await tasks[2] is Presence.UNKNOWN
    tasks = [ask() for _ in range(3)]
    await eventually(lambda: len(database.answers) == 3)
    database.answers[2].set_exception(Unavailable("away"))
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, Unavailable) for each in done)
    assert not front._underway


# What is told


async def test_the_steps(site: Site) -> None:
    """--explain shows the replica's step and its age, then the database's, then the proof."""
    steps: list[Step] = []
    await site.directory.find(address(KNOWN), steps.append)
    (step,) = steps
    assert (step.name, step.rows, step.values) == ("replica", ("known",), (KNOWN,))
    assert step.origin == "replica (0 s old)"
    steps.clear()
    await site.directory.find(address(UNKNOWN), steps.append)
    assert [each.origin for each in steps][:2] == ["replica (0 s old)", "database"]
    await site.lose_the_database()
    steps.clear()
    await site.directory.find(address(UNKNOWN), steps.append)
    assert [each.query.partition(":")[0] for each in steps][1:] == ["proof"]


async def test_behind_the_check(site: Site) -> None:
    """The check takes extensions away and spares postmaster with a replica as without."""
    check = Check(site.directory, timeout=3.0, delimiters="+")
    asked = {
        "anna+news@x.example": Reason.KNOWN,
        "postmaster@x.example": Reason.KNOWN,
        "nobody+x@x.example": Reason.UNKNOWN,
    }
    for away in (False, True):
        if away:
            await site.lose_the_database()
        found = {text: (await check.recipient(text)).verdict.reason for text in asked}
        assert found == asked, away


async def test_written_through(site: Site) -> None:
    """Whom the database knew and the replica didn't is known without the database from then on."""
    site.clock.moved += 1
    site.insert(NEW)
    feeding = asyncio.create_task(site.feeder._write_noted())
    assert await site.told(NEW) is Presence.KNOWN
    replica = site.backend.replicas[0]
    replica.start()
    await eventually(lambda: replica.find(address(NEW)))
    await site.lose_the_database()
    assert await site.told(NEW) is Presence.KNOWN
    assert await presences(site.directory, [KNOWN, UNKNOWN]) == {
        KNOWN: Presence.KNOWN,
        UNKNOWN: Presence.UNKNOWN,
    }
    feeding.cancel()
    await asyncio.wait({feeding})
