"""The reader: takes up what is new, and lets go of what is wrong, without being asked."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from check_user.address import Address
from check_user.directory import Presence
from check_user.directory.replica import Replica
from check_user.directory.replica.reader import POLL
from tests.directory.asking import eventually
from tests.directory.backends import address, domain
from tests.directory.replica.keeping import Kept, users

SOON = 40 * POLL
"""Seconds: a few looks, on a machine that has other things to do."""

ANNA, BERT = address("anna@x.example"), address("bert@x.example")


def known(replica: Replica, who: Address) -> bool:
    return replica.find(who) is Presence.KNOWN


@pytest.fixture
async def kept(tmp_path: Path) -> Kept:
    kept = Kept(tmp_path)
    await kept.refresh(users("anna"))
    return kept


async def test_a_generation_never_changes(kept: Kept) -> None:
    """The file that is open when the next generation is put in its place stays as it was."""
    before = kept.path.read_bytes()
    with kept.path.open("rb") as file:
        await kept.refresh(users("anna", "bert"))
        assert file.read() == before
    assert kept.path.read_bytes() != before


async def test_a_new_generation(kept: Kept) -> None:
    """A generation that was renamed into place is soon in use; until then, and while it
    is verified, the one before answers."""
    replica = await kept.open()
    replica.start()
    await kept.refresh(users("anna", "bert"))
    assert known(replica, ANNA)
    await eventually(lambda: known(replica, BERT), SOON)
    assert known(replica, ANNA)
    assert replica.find_domain(domain("x.example")) is Presence.KNOWN
    assert replica.find_domain(domain("y.example")) is None
    await replica.aclose()


def held(path: Path) -> list[str]:
    """What this process has open of the replica, deleted files too."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue
        if target.startswith(str(path)):
            found.append(target)
    return found


@pytest.mark.fault("RP11")
async def test_no_old_generation_is_held(kept: Kept) -> None:
    """A generation that was replaced is soon let go of, though nobody asks anything: its disk space
    comes back."""
    replica = await kept.open()
    replica.start()
    for number in range(10):
        await kept.refresh(users("anna", f"new{number}"), accept_loss=True)
    await eventually(lambda: held(kept.path) == [str(kept.path)], SOON)
    await replica.aclose()
    assert held(kept.path) == []


@pytest.mark.fault("RP02")
async def test_truncated_while_open(kept: Kept) -> None:
    """Truncated under an open reader: no signal ends the process, nobody is known or unknown by it,
    and it says why."""
    await kept.refresh(users("anna", *(f"user{number}" for number in range(50_000))))
    replica = await kept.open()
    os.truncate(kept.path, 8192)
    for number in range(0, 50_000, 1000):
        assert replica.find(address(f"user{number}@x.example")) in (None, Presence.KNOWN)
    await replica.look()
    assert replica.trouble
    assert replica.find(ANNA) is None
    assert any("can't be used" in line for line in kept.reports)
    await replica.aclose()


@pytest.mark.fault("RP03")
async def test_written_in_place(kept: Kept, tmp_path: Path) -> None:
    """Written in place (cp, a restored backup): dropped as soon as it is seen; taken up again when
    it verifies. Replaced by a damaged file: what is open goes on, and somebody is called."""
    wanted: list[str] = []
    replica = await kept.open()
    replica.damaged = lambda: wanted.append("")
    good = kept.path.read_bytes()
    kept.path.write_bytes(good[:-4096] + bytes(4096))
    await replica.look()
    assert replica.trouble
    assert wanted
    kept.path.write_bytes(good)
    await replica.look()
    assert known(replica, ANNA)
    wanted.clear()
    bad = tmp_path / "bad"
    bad.write_bytes(good[:-4096])
    bad.chmod(0o640)
    bad.replace(kept.path)
    await replica.look()
    assert known(replica, ANNA)
    assert wanted
    await replica.aclose()


async def test_removed(kept: Kept) -> None:
    """Removed: what is open goes on, and somebody is called to build it anew."""
    wanted: list[str] = []
    replica = await kept.open()
    replica.damaged = lambda: wanted.append("")
    kept.path.unlink()
    await replica.look()
    assert known(replica, ANNA)
    assert wanted
    await kept.refresh(users("anna", "bert"))
    await replica.look()
    assert known(replica, BERT)
    await replica.aclose()


async def test_another_source(kept: Kept) -> None:
    """What was listed from another database or other tables says nothing here."""
    replica = await kept.open("another")
    assert replica.find(ANNA) is None
    assert "another source" in replica.trouble
    await replica.aclose()


async def test_known_since(kept: Kept) -> None:
    """Who was noted is known to every reader within seconds, until a listing that began later has
    had its say; the note of one generation says nothing about another."""
    replica = await kept.open()
    replica.start()
    kept.clock.moved += 10
    kept.feeder.note("bert@x.example")
    feeding = asyncio.create_task(kept.feeder._write_noted())
    await eventually(lambda: known(replica, BERT), SOON)
    assert replica.prove(BERT) is Presence.KNOWN
    kept.clock.moved += 10
    await kept.refresh(users("anna"))
    await eventually(lambda: not known(replica, BERT), SOON)
    kept.feeder.note("bert@x.example")
    await eventually(lambda: known(replica, BERT), SOON)
    kept.clock.moved += 10
    await kept.refresh(users("anna", "carl"))
    await eventually(lambda: known(replica, address("carl@x.example")), SOON)
    assert not known(replica, BERT)
    feeding.cancel()
    await asyncio.wait({feeding})
    await replica.aclose()
