"""Whoever writes is killed, or has a bad disk: the last good generation stays."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from check_user.directory.replica import (
    Busy,
    Lock,
    Trouble,
    Unusable,
    open_generation,
    peek,
    read_since,
)
from check_user.directory.replica.trust import beside
from tests.directory.replica import writing
from tests.directory.replica.keeping import Kept, users
from tests.peers.process import program

WRITER = [sys.executable, "-m", writing.__name__]
NAMES = [f"user{number:05}" for number in range(5000)]


def whole(path: Path) -> int:
    """Verify what is in place; give the number of the round that it is of."""
    generation = open_generation(path)
    try:
        assert generation.meta.recipients == writing.USERS + 1
        for number in range(0, writing.USERS, 50):
            assert generation.proven_presence(f"user{number:04}@x.example") == "known"
        number = generation.meta.number - 1
        assert generation.proven_presence(f"round{number}@x.example") == "known"
    finally:
        generation.close()
    return number


def kill_writers(path: Path, times: int) -> int:
    """Kill a writer at a random moment, so many times; give how many rounds they finished."""
    chance = random.Random(times)
    before = -1
    for _ in range(times):
        first = before + 1
        with subprocess.Popen(
            [*WRITER, str(path), str(first)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            said = int(process.stdout.readline())
            time.sleep(chance.uniform(0, 0.05))  # the moment is what is tried
            process.kill()
            rest = process.stdout.read().split()
            process.wait()
        said = int(rest[-1]) if rest else said
        found = whole(path)
        assert found >= said >= first
        before = found
    return before + 1


@pytest.mark.fault("RP05", "RP06")
def test_killed_writers(tmp_path: Path) -> None:
    """50 writers killed at random moments of their rounds: each time what is in place is whole, and
    not older than what the writer said it had done."""
    assert kill_writers(tmp_path / "replica.db", 50) > 50


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.fault("RP05", "RP06")
def test_a_thousand_killed_writers(tmp_path: Path) -> None:
    """The same with 1000."""
    assert kill_writers(tmp_path / "replica.db", 1000) > 1000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB. Needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.fault("RP07")
async def test_a_full_disk(small_disk: Path) -> None:
    """A disk that is full before the draft is done: Trouble, the old generation serves on and is
    not made younger, nothing is left behind; with room again the next round succeeds."""
    kept = Kept(small_disk)
    await kept.refresh(users(*NAMES))
    before = peek(kept.path)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    kept.clock.moved += 60
    with pytest.raises((Trouble, OSError)):
        await kept.refresh(users(*NAMES, "new"))
    with pytest.raises((Trouble, OSError)):
        await kept.refresh(users(*NAMES))
    generation = open_generation(kept.path)
    assert generation.meta == before
    generation.close()
    assert read_since(kept.path, before).listed.seconds == before.listed.seconds
    assert not beside(kept.path, "new").exists()
    filler.unlink()
    assert (await kept.refresh(users(*NAMES, "new"))).is_new


def calls(path: Path, call: str) -> int:
    """How often one round makes a system call."""
    done = traced(path, 1, "-c", "-e", f"trace={call}")
    lines = [line.split() for line in done.stderr.splitlines()]
    (number,) = [int(line[3]) for line in lines if line and line[-1] == call]
    return number


def traced(path: Path, first: int, *options: str) -> subprocess.CompletedProcess[str]:
    strace = program("strace", "strace")
    return subprocess.run(
        [strace, "-f", "-qq", *options, *WRITER, str(path), str(first), "once"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.fault("RP08")
@pytest.mark.parametrize(("call", "least"), [("fsync", 2), ("rename", 1), ("pwrite64", 10)])
def test_a_bad_disk(tmp_path: Path, call: str, least: int) -> None:
    """The n-th fsync, rename or pwrite of a round fails with EIO, for each n (of the writes, some):
    the round fails or is whole; what was in place is there and whole, and so is the next round."""
    path = tmp_path / "replica.db"
    subprocess.run([*WRITER, str(path), "0", "once"], check=True, capture_output=True)
    number = calls(path, call)
    assert number >= least  # of fsync: the file, and its folder
    last = whole(path)
    for nth in range(1, number + 1, 1 if number < 10 else number // 5):
        done = traced(path, last + 1, "-e", f"inject={call}:error=EIO:when={nth}")
        assert ("trouble" in done.stdout) or whole(path) == last + 1, done.stdout + done.stderr
        assert whole(path) in (last, last + 1)
        last = whole(path)
        subprocess.run([*WRITER, str(path), str(last + 1), "once"], check=True, capture_output=True)
        assert whole(path) == last + 1
        last += 1


@pytest.mark.fault("RP12")
async def test_two_writers(tmp_path: Path) -> None:
    """While somebody writes, another who wants to is told who does; afterwards he may."""
    kept = Kept(tmp_path)
    with Lock(kept.path), pytest.raises(Busy, match=f"process {os.getpid()}"):
        await kept.refresh(users("anna"))
    await kept.refresh(users("anna"))


@pytest.mark.fault("RP13")
def test_no_right_to_write(tmp_path: Path) -> None:
    """Who may not write the lock's file is told so in one line, and nothing is written without.

    Needs root, who can become somebody else.
    """
    path = tmp_path / "replica.db"
    Lock(path).__enter__()
    with pytest.raises(Unusable, match=r"replica\.db\.lock"):
        as_nobody(path)


def as_nobody(path: Path) -> None:
    """Take the lock as an account that may enter the folder and no more."""
    for folder in path.parents:
        if folder.owner() == "root" and folder != Path("/") and folder.stat().st_mode & 0o077 == 0:
            folder.chmod(0o711)
    os.seteuid(65534)
    try:
        with Lock(path):
            pass
    finally:
        os.seteuid(0)


@pytest.mark.fault("OS11")
async def test_a_read_only_disk(small_disk: Path) -> None:
    """The disk becomes read-only: rounds fail, what is in place is read on."""
    kept = Kept(small_disk)
    await kept.refresh(users("anna"))
    replica = await kept.open()
    remount = ["mount", "-o"]
    subprocess.run([*remount, "remount,ro", small_disk], check=True)  # noqa: ASYNC221 - milliseconds
    try:
        with pytest.raises((Trouble, Unusable, OSError)):
            await kept.refresh(users("anna", "bert"))
        await replica.look()
        assert replica.trouble == ""
        assert replica.age() is not None
    finally:
        subprocess.run([*remount, "remount,rw", small_disk], check=True)  # noqa: ASYNC221 - the same
        await replica.aclose()


async def test_a_cancelled_round(tmp_path: Path) -> None:
    """A round that is cancelled at any moment leaves no draft and no lock behind."""
    kept = Kept(tmp_path)
    await kept.refresh(users(*NAMES))
    for turns in range(0, 60, 3):
        task = asyncio.create_task(kept.refresh(users(*NAMES, f"new{turns}")))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert not beside(kept.path, "new").exists()
        assert not beside(kept.path, "staged").exists()
        with Lock(kept.path):
            open_generation(kept.path).close()
