"""The rounds: what is applied, what is refused, how often, and by whom."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from pathlib import Path

import pytest

from check_user.directory import Unavailable
from check_user.directory.listing import Listing
from check_user.directory.refresh import RETRY, SHARE, Feeder, Pace, Refused
from check_user.directory.replica import Clock, Lock, Unusable, open_generation, peek, read_since
from check_user.directory.replica.trust import beside
from tests.directory.asking import eventually
from tests.directory.replica.keeping import (
    OURS,
    SOURCE,
    Kept,
    Listed,
    domains,
    users,
)

TEN = tuple(f"user{number}" for number in range(10))


def listed(path: Path) -> set[str]:
    """The users that are in place."""
    generation = open_generation(path)
    found = {name for name in (*TEN, "new") if generation.presence(f"{name}@x.example")}
    generation.close()
    return found


@pytest.fixture
async def kept(tmp_path: Path) -> Kept:
    kept = Kept(tmp_path)
    await kept.refresh(users(*TEN))
    return kept


@pytest.mark.fault("RP15", "RP17", "RP18")
async def test_differences_are_applied(kept: Kept) -> None:
    """Whoever is new, by whatever order their transactions ended in, is there after the next round,
    and whoever was deleted or renamed isn't: a round knows by the whole set of keys, no feed of
    changes that could have lost one."""
    done = await kept.refresh(users(*TEN[1:], "new"))
    assert done.is_new
    assert done.difference is not None
    assert str(done.difference) == "new: 1 (new@x.example); gone: 1 (user0@x.example)"
    assert listed(kept.path) == {*TEN[1:], "new"}
    assert peek(kept.path).number == 2


async def test_nothing_new(kept: Kept) -> None:
    """A listing with the same rows, in whatever order, writes no generation: it makes the one in
    place as young as itself."""
    before = kept.path.stat()
    kept.clock.moved += 60
    done = await kept.refresh(reversed(users(*TEN)))
    assert not done.is_new
    assert kept.path.stat().st_ino == before.st_ino
    assert kept.clock.age(read_since(kept.path, peek(kept.path)).listed) == 0


async def test_the_age_is_that_of_the_beginning(kept: Kept) -> None:
    """A listing is as old as its first statement: what was made while it went on may be missing."""

    class Slow(Listed):
        async def count(self) -> int:
            return 0

        async def aclose(self) -> None:
            kept.clock.moved += 100

    for names in (TEN, (*TEN, "new")):
        kept.listing = Slow(users(*names), OURS)
        await kept.feeder.refresh()
        assert kept.clock.age(read_since(kept.path, peek(kept.path)).listed) == 100


@pytest.mark.fault("RP25")
@pytest.mark.parametrize(
    ("names", "ours"),
    [
        ((), OURS),
        (TEN, []),
        (TEN[:7], OURS),
        ((*TEN[:7], "a", "b", "c"), OURS),
        (TEN, domains("y.example", "z.example")),
    ],
    ids=["no user", "no domain", "three of ten gone", "three replaced", "a domain gone"],
)
async def test_a_mass_change_is_refused(
    kept: Kept, names: tuple[str, ...], ours: list[tuple[str, str]]
) -> None:
    """Nothing found, more than a fifth of the users or a whole domain gone: the old generation
    stays and grows older, and it is on record why; when somebody confirms it, it is taken (V7)."""
    before = peek(kept.path)
    kept.clock.moved += 60
    with pytest.raises(Refused, match="--accept-loss"):
        await kept.refresh(users(*names), ours)
    assert peek(kept.path) == before
    assert kept.clock.age(read_since(kept.path, before).listed) == 60
    assert not await kept.feeder._try()
    assert not await kept.feeder._try()
    (told,) = kept.reports
    assert "refused" in told
    assert "--accept-loss" in read_since(kept.path, before).refused
    await kept.refresh(users(*TEN))
    assert read_since(kept.path, before).refused == ""
    assert (await kept.refresh(users(*names), ours, accept_loss=True)).is_new


@pytest.mark.fault("RP25")
async def test_nothing_is_no_beginning(tmp_path: Path) -> None:
    """A first listing without a recipient or without a domain isn't taken either."""
    kept = Kept(tmp_path)
    for names, ours in (((), OURS), (TEN, []), ((), [])):
        with pytest.raises(Refused):
            await kept.refresh(users(*names), ours)
    assert not await asyncio.to_thread(kept.path.exists)


async def test_what_is_no_mass_change(kept: Kept) -> None:
    """A fifth of the users may go at a time, any number may come."""
    await kept.refresh(users(*TEN[:8]))
    await kept.refresh(users(*TEN[:8], *(f"n{number}" for number in range(100))))
    await kept.refresh(users(*TEN[:8], *(f"n{number}" for number in range(100))), [*OURS, *OURS])


async def test_another_source_is_no_measure(tmp_path: Path) -> None:
    """With other tables configured, the old replica is replaced without a question."""
    kept = Kept(tmp_path)
    await kept.refresh(users(*TEN))
    other = Feeder(
        kept.path, "other", kept._open_listing, every=60, report=kept.reports.append,
        clock=kept.clock,
    )  # fmt: skip
    kept.listing = Listed(users("new"), domains("y.example"))
    assert (await other.refresh()).meta.source == "other"


@pytest.mark.fault("RP24")
async def test_a_source_that_goes_back_in_time(kept: Kept) -> None:
    """A database that was restored from yesterday's dump is listed as it is: there is no position
    in a log to be wrong about. Where it lacks too much, that is a mass change."""
    await kept.refresh(users(*TEN, "new"))
    done = await kept.refresh(users(*TEN))
    assert done.is_new
    assert listed(kept.path) == set(TEN)


@pytest.mark.fault("RP19", "RP28")
async def test_a_listing_that_breaks_off(kept: Kept) -> None:
    """A listing that ends before its end, by whatever error, changes nothing and leaves nothing; it
    is tried again, and the trouble is told once, and that it is over."""
    before = peek(kept.path)
    kept.clock.moved += 60
    many = users(*TEN, *(f"u{number}" for number in range(5000)))
    kept.listing = Listed(many, OURS, "the table is gone")
    assert not await kept.feeder._try()
    assert not await kept.feeder._try()
    assert peek(kept.path) == before
    assert kept.clock.age(read_since(kept.path, before).listed) == 60
    assert not beside(kept.path, "new").exists()
    kept.listing = Listed(many, OURS)
    assert await kept.feeder._try()
    assert [line.partition(":")[0] for line in kept.reports] == [
        "the database couldn't be listed",
        "the replica is kept fresh again",
    ]


# How often, and who


class Timed:
    """A feeder in a loop whose rounds take as long as a test says; when each began."""

    def __init__(self, kept: Kept, took: float, *, fails: bool = False) -> None:
        self.kept = kept
        self.took = took
        self.begun: list[float] = []
        self.fails = fails
        kept.feeder._open_listing = self.open

    async def open(self) -> Listing:
        self.begun.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.took)
        if self.fails:
            raise Unavailable("away")
        return Listed(users(*TEN), OURS)


async def rounds(timed: Timed, seconds: float) -> list[float]:
    """Run the feeder for that long; give the pauses between the beginnings of its rounds."""
    timed.kept.feeder._clock = Clock()
    task = asyncio.create_task(timed.kept.feeder.run())
    await asyncio.sleep(seconds)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return [after - before for before, after in itertools.pairwise(timed.begun)]


@pytest.mark.fault("RP29")
async def test_no_more_than_a_twentieth(tmp_path: Path) -> None:
    """However long a listing takes, it takes a twentieth of the time at most; the age tells how far
    behind it is."""
    pauses = await rounds(Timed(Kept(tmp_path, every=0.1), 0.05), 3.5)
    assert pauses
    assert all(pause >= 0.05 * SHARE for pause in pauses)


@pytest.mark.fault("RP21", "RP29")
def test_a_frozen_database_is_listed_soon_after() -> None:
    """What a frozen database costs in time doesn't count as listing: a round that couldn't begin is
    tried again within RETRY seconds, one that broke off too, and one that stood still once is no
    reason to rest for long. But one that is slow each time, or breaks off each time, gets its
    twentieth and no more."""
    pace = Pace()
    assert pace.rest(1, 0.5, done=True) == 1 * (SHARE - 1)
    assert pace.rest(30, 30, done=False) == 0
    assert pace.rest(30, 1, done=False) <= 2 * RETRY
    assert pace.rest(30, 0, done=True) == 2 * (SHARE - 1)
    assert pace.rest(30, 0, done=True) == 30 * (SHARE - 1)
    assert pace.rest(30, 1, done=False) == RETRY
    rests = [pace.rest(30, 1, done=False) for _ in range(2000)]
    assert rests[-1] == 29 * (SHARE - 1)


async def test_every_so_often(tmp_path: Path) -> None:
    """A quick listing is done every ``replica_refresh`` seconds."""
    pauses = await rounds(Timed(Kept(tmp_path, every=0.8), 0.0), 3.5)
    assert len(pauses) >= 2
    assert all(0.7 <= pause <= 2.0 for pause in pauses)


async def test_a_wish_is_granted(tmp_path: Path) -> None:
    """Who finds the replica damaged has a round begun, long before it is due."""
    kept = Kept(tmp_path, every=3600)
    timed = Timed(kept, 0.0)
    running = asyncio.create_task(rounds(timed, 3.0))
    await eventually(kept.path.exists)
    kept.feeder.wake()
    await eventually(lambda: len(timed.begun) == 2)
    await running


@pytest.mark.fault("RP12")
async def test_one_does_the_rounds(tmp_path: Path) -> None:
    """Of several feeders of one replica, one lists the database; when it ends, another goes on."""
    kept = Kept(tmp_path, every=0.05)
    feeders, tasks, opened = [], [], []

    def opening(number: int) -> Feeder:
        async def open_listing() -> Listing:
            opened.append(number)
            return Listed(users(*TEN), OURS)

        return Feeder(kept.path, SOURCE, open_listing, every=0.05, report=kept.reports.append)

    for number in range(3):
        feeders.append(opening(number))
        tasks.append(asyncio.create_task(feeders[-1].run()))
    await eventually(lambda: len(opened) >= 3)
    (first,) = set(opened)
    tasks[first].cancel()
    await asyncio.wait({tasks[first]})
    await eventually(lambda: len(set(opened)) == 2)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert kept.reports == []


# Ages


@pytest.mark.fault("RP30", "RP31")
async def test_clocks(kept: Kept) -> None:
    """The age goes by the time since the boot: the wall clock may jump as it likes. After a reboot,
    or where the clock shows less than when the stamp was made, nobody knows the age."""
    replica = await kept.open()
    kept.clock.moved += 100
    for jump in (400 * 86400, -2 * 3600, -1e9):
        kept.clock.wall += jump
        assert replica.age() == 100
    kept.clock.moved -= 101
    assert replica.age() is None
    kept.clock.moved += 101
    assert replica.age() == 100
    kept.clock.reboot(5000.0)
    assert replica.age() is None
    await kept.refresh(users(*TEN))
    await replica.look()
    assert replica.age() == 0
    await replica.aclose()


async def test_a_damaged_note_makes_nobody_younger(kept: Kept) -> None:
    """What is written beside the generation is believed only whole: damaged, of another generation
    or somebody else's, the age is that of the generation itself."""
    since = beside(kept.path, "since")
    for moved in range(3):
        kept.clock.moved += 100
        await kept.refresh(users(*TEN))
        meta = peek(kept.path)
        assert kept.clock.age(read_since(kept.path, meta).listed) == 0
        data = since.read_bytes()
        match moved:
            case 0:
                since.write_bytes(data.replace(b" 1100.0,", b" 1099.0,"))
            case 1:
                since.chmod(0o666)
            case _:
                since.unlink()
        assert kept.clock.age(read_since(kept.path, meta).listed) == (moved + 1) * 100
        since.unlink(missing_ok=True)


async def test_a_note_of_another_generation(kept: Kept) -> None:
    """What was written about one generation says nothing about the next: who was known since then
    was listed or is gone."""
    kept.clock.moved += 100
    kept.feeder._keep({"new@x.example": kept.clock.moved})
    before = beside(kept.path, "since").read_bytes()
    assert read_since(kept.path, peek(kept.path)).known
    kept.clock.moved += 100
    await kept.refresh(users(*TEN, "other"))
    beside(kept.path, "since").write_bytes(before)
    assert read_since(kept.path, peek(kept.path)).known == {}


async def test_no_replica_to_compare(tmp_path: Path) -> None:
    """A comparison needs two sides."""
    kept = Kept(tmp_path)
    with pytest.raises(Unusable):
        await kept.feeder.compare()
    await kept.refresh(users(*TEN))
    kept.listing = Listed(users(*TEN[:5]), OURS)
    difference = await kept.feeder.compare()
    assert difference.gone.number == 5
    assert listed(kept.path) == set(TEN)
    with Lock(kept.path):
        pass
