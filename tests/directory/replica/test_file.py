"""The file: what it holds, how large it is, and that no damage to it goes unseen."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from check_user.directory import Presence, Unavailable
from check_user.directory.replica import Generation, Meta, Unusable, open_generation, peek
from check_user.directory.replica.schema import RANGE, connect
from tests.directory.backends import address
from tests.directory.replica.keeping import OURS, Kept, domains, users

ACCOUNTS = 3000
NAMES = [f"user{number:05}" for number in range(ACCOUNTS)]


@pytest.fixture
async def kept(tmp_path: Path) -> Kept:
    """A replica of 3000 users."""
    kept = Kept(tmp_path)
    await kept.refresh(users(*NAMES))
    return kept


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.execute(sql))


async def test_the_two_tables(tmp_path: Path) -> None:
    """The interface: recipients(address, presence) and domains(domain, others), keys in canonical
    form, each once; of a key that was listed twice, known wins."""
    kept = Kept(tmp_path)
    listed = [*users("anna", "bert"), ("bert@x.example", "disabled"), ("carl@x.example", "refused")]
    await kept.refresh([*reversed(listed), *listed], [*OURS, ("y.example", "catch-all")])
    assert rows(kept.path, "SELECT * FROM recipients ORDER BY address") == [
        ("anna@x.example", "known"),
        ("bert@x.example", "known"),
        ("carl@x.example", "refused"),
    ]
    assert rows(kept.path, "SELECT * FROM domains ORDER BY domain") == [
        ("x.example", "unknown"),
        ("y.example", "catch-all"),
    ]


async def test_its_size(tmp_path: Path) -> None:
    """At most 100 octets of disk an account, with addresses of thirty."""
    kept = Kept(tmp_path)
    names = [f"a.rather.long.name{number:06}" for number in range(100_000)]
    random.Random(1).shuffle(names)
    await kept.refresh(users(*names, domain="example.org"))
    assert kept.path.stat().st_size <= 100 * len(names)


@pytest.mark.fault("RP14")
async def test_the_longest_key(tmp_path: Path) -> None:
    """A key of 254 octets, the longest that an address can have, is a key like any other."""
    longest = f"{'l' * 64}@{'.'.join(['d' * 61] * 3)}.exa"
    assert len(longest) == 254
    kept = Kept(tmp_path)
    await kept.refresh([(longest, "known"), *users("anna")])
    replica = await kept.open()
    assert replica.find(address(longest)) is Presence.KNOWN
    assert replica.prove(address(longest)) is Presence.KNOWN
    await replica.aclose()


@pytest.mark.parametrize("number", [0, 1, RANGE - 1, RANGE, RANGE + 1, 5 * RANGE + 7])
async def test_every_answer_can_be_proven(tmp_path: Path, number: int) -> None:
    """Whoever is listed is proven to be there, and whoever isn't not to be: before the first key,
    between any two, behind the last."""
    kept = Kept(tmp_path)
    await kept.refresh(users(*NAMES[:number]), accept_loss=True)
    replica = await kept.open()
    for name in NAMES[:number]:
        assert replica.prove(address(f"{name}@x.example")) is Presence.KNOWN
        assert replica.prove(address(f"{name}a@x.example")) is Presence.UNKNOWN
    for name in ("!", "a", "zzz", "user", "Ω"):
        assert replica.prove(address(f"{name}@x.example")) is Presence.UNKNOWN
        assert replica.prove(address(f"{name}@y.example")) is Presence.FOREIGN
    await replica.aclose()


# Damage


def cut(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


@pytest.mark.fault("RP01")
@pytest.mark.parametrize("share", [0, 0.2, 0.4, 0.6, 0.8, 0.9999])
def test_a_truncated_file(kept: Kept, share: float) -> None:
    """A file that was cut short, to nothing too, isn't opened."""
    cut(kept.path, share)
    with pytest.raises(Unusable):
        open_generation(kept.path)


@pytest.mark.fault("RP04")
def test_rows_that_were_changed(kept: Kept) -> None:
    """A row changed, lost or added, by whatever means, is found when the file is opened."""
    good = kept.path.read_bytes()
    for change in (
        "DELETE FROM recipients WHERE address = 'user00700@x.example'",
        "UPDATE recipients SET address = 'user0070O@x.example' WHERE address LIKE 'user00700@%'",
        "UPDATE recipients SET presence = 'unknown' WHERE address = 'user00700@x.example'",
        "INSERT INTO recipients VALUES ('zzz@x.example', 'known')",
        "DELETE FROM domains",
        "INSERT INTO domains VALUES ('y.example', 'unknown')",
        "DELETE FROM proofs WHERE low > 'user007'",
        "DELETE FROM proofs WHERE part = 'domains'",
        "UPDATE proofs SET high = NULL WHERE low = ''",
        "UPDATE meta SET value = value || '0' WHERE name = 'listed'",
        "DELETE FROM meta WHERE name = 'digest'",
        "CREATE VIEW more AS SELECT * FROM recipients",
        "CREATE INDEX more ON recipients (presence)",
    ):
        with closing(sqlite3.connect(kept.path)) as connection:
            connection.execute(change)
            connection.commit()
        with pytest.raises(Unusable):
            open_generation(kept.path)
        kept.path.write_bytes(good)
        open_generation(kept.path).close()


def damage(data: bytes, chance: random.Random, other: bytes) -> bytes:
    """What disks, copies and restored backups do to a file."""
    changed = bytearray(data)
    page = 4096
    pages = len(data) // page
    match chance.randrange(5):
        case 0:
            for _ in range(20):
                changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        case 1:
            begin = chance.randrange(1, pages) * page
            changed[begin : begin + page] = bytes(page)
        case 2:
            one, two = (chance.randrange(1, pages) * page for _ in range(2))
            first, second = changed[one : one + page], changed[two : two + page]
            changed[one : one + page], changed[two : two + page] = second, first
        case 3:
            begin = chance.randrange(min(len(other), len(data)) // page) * page
            changed[begin : begin + page] = other[begin : begin + page]
        case _:
            del changed[chance.randrange(len(changed)) :]
    return bytes(changed)


async def damaged_files(folder: Path, number: int) -> tuple[int, int]:
    """Damage a replica's file so many times; count those that were refused when they were opened,
    and the answers that weren't proven by one that was opened before the damage.

    Half of the users exist. No answer may be wrong, and no user missing in a file that is opened.
    """
    kept, other = Kept(folder), Kept(folder / "other")
    other.path.parent.mkdir()
    await kept.refresh(users(*NAMES[::2]))
    await other.refresh(users(*NAMES[1::2]))
    good, wrong = kept.path.read_bytes(), other.path.read_bytes()
    meta = peek(kept.path)
    chance = random.Random(number)
    refused = unproven = 0
    for _ in range(number):
        kept.path.write_bytes(damage(good, chance, wrong))
        for index in chance.sample(range(ACCOUNTS), 20):
            unproven += not tells_the_truth(kept.path, meta, index)
        try:
            open_generation(kept.path).close()
        except Unusable:
            refused += 1
        else:  # then no row is hurt: the damage is in a part that nobody reads
            present = {row[0] for row in rows(kept.path, "SELECT address FROM recipients")}
            assert present == {f"{name}@x.example" for name in NAMES[::2]}
    return refused, unproven


def tells_the_truth(path: Path, meta: Meta, index: int) -> bool:
    """Ask whether a user is there, without a look at the rest of the file or a page in memory.

    True: it was proven, and right; False: it couldn't be proven.
    """
    try:
        with closing(opened_unseen(path, meta)) as generation:
            found = generation.proven_presence(f"{NAMES[index]}@x.example")
    except (Unusable, sqlite3.Error):
        return False
    assert (found == "known") is (index % 2 == 0), NAMES[index]
    return True


@pytest.mark.fault("RP03", "RP04")
async def test_damaged_files(tmp_path: Path) -> None:
    """50 files with flipped bits, lost, swapped and foreign pages, or cut short: no user is missing
    in one that is opened, and no answer is proven that isn't true."""
    refused, unproven = await damaged_files(tmp_path, 50)
    assert refused >= 40
    assert 0 < unproven < 50 * 20


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.fault("RP04")
async def test_a_thousand_damaged_files(tmp_path: Path) -> None:
    """The same with 1000."""
    refused, _ = await damaged_files(tmp_path, 1000)
    assert refused >= 900


def opened_unseen(path: Path, meta: Meta) -> Generation:
    """The file as if it had been verified before what happened to it."""
    return Generation(connect(path), meta, (0, 0, 0, 0, 0), plain=True)


@pytest.mark.fault("RP04")
def test_a_range_without_proof(kept: Kept) -> None:
    """Where a proof is missing, the one beside it proves nothing about its keys; and a file with a
    gap isn't opened, though its own numbers were made to fit."""
    meta = peek(kept.path)
    name = NAMES[RANGE + 5]
    (low,) = (
        row[0]
        for row in rows(kept.path, "SELECT low, high FROM proofs WHERE part = 'recipients'")
        if str(row[0]) <= f"{name}@x.example" and str(row[1]) > f"{name}@x.example"
    )
    fitting = replace(meta, recipients=meta.recipients - RANGE)
    with closing(sqlite3.connect(kept.path)) as connection:
        connection.execute("DELETE FROM proofs WHERE low = ?", (low,))
        connection.execute("DELETE FROM meta")
        connection.executemany("INSERT INTO meta VALUES (?, ?)", fitting.rows().items())
        connection.commit()
    generation = opened_unseen(kept.path, meta)
    assert generation.proven_presence(f"{NAMES[5]}@x.example") == "known"
    with pytest.raises(Unusable):
        generation.proven_presence(f"{name}@x.example")
    generation.close()
    with pytest.raises(Unusable, match="gap"):
        open_generation(kept.path)


@pytest.mark.fault("RP03")
async def test_another_generation_proves_nothing(kept: Kept) -> None:
    """The pages of the generation before, whole as they are, prove nothing about this one."""
    before = kept.path.read_bytes()
    await kept.refresh(users(*NAMES, "new"))
    meta = peek(kept.path)
    kept.path.write_bytes(before)
    generation = opened_unseen(kept.path, meta)
    with pytest.raises(Unusable):
        generation.proven_presence("new@x.example")
    generation.close()


# Whose file it is


@pytest.mark.fault("AB09")
def test_a_planted_file(kept: Kept, tmp_path: Path) -> None:
    """Only a plain file with one name, ours alone to write, in a folder of ours, is opened: a link,
    a hard link, one that others may write or that somebody else owns isn't."""
    elsewhere = tmp_path / "elsewhere"
    shutil.copy(kept.path, elsewhere)

    def refused() -> bool:
        try:
            open_generation(kept.path).close()
        except Unusable:
            return True
        return False

    assert not refused()
    for mode, bad in ((0o666, True), (0o660, True), (0o602, True), (0o640, False), (0o644, False)):
        kept.path.chmod(mode)
        assert refused() is bad, oct(mode)
    for mode, bad in ((0o777, True), (0o770, True), (0o1777, False), (0o755, False)):
        tmp_path.chmod(mode)
        assert refused() is bad, oct(mode)
    kept.path.unlink()
    kept.path.symlink_to(elsewhere)
    assert refused()
    kept.path.unlink()
    kept.path.hardlink_to(elsewhere)
    assert refused()
    elsewhere.unlink()
    assert not refused()
    if os.geteuid() == 0:
        os.chown(kept.path, 65534, -1)
        assert refused()


async def test_the_rights_of_the_file_are_kept(kept: Kept) -> None:
    """A mail server that was given the right to read keeps it with the next generation; nobody is
    ever given the right to write."""
    assert kept.path.stat().st_mode & 0o777 == 0o640
    group = 65534 if os.geteuid() == 0 else os.getgid()
    os.chown(kept.path, -1, group)
    kept.path.chmod(0o644)
    await kept.refresh(users(*NAMES, "new"))
    found = kept.path.stat()
    assert (found.st_mode & 0o777, found.st_gid) == (0o644, group)
    kept.path.chmod(0o666)
    await kept.refresh(users(*NAMES))
    assert kept.path.stat().st_mode & 0o777 == 0o640


async def test_a_damaged_file_is_built_anew(kept: Kept) -> None:
    """The next round finds damage wherever it is, says so, and puts a whole file in its place."""
    before = peek(kept.path)
    with kept.path.open("r+b") as file:
        file.seek(kept.path.stat().st_size // 2)
        file.write(bytes(4096))
    done = await kept.refresh(users(*NAMES))
    assert done.is_new
    assert any("built anew" in line for line in kept.reports)
    generation = open_generation(kept.path)
    assert generation.meta.content == before.content
    generation.close()


async def test_a_proof_is_of_the_open_file(kept: Kept) -> None:
    """What was open when its file was written in place proves nothing any more, though the new
    content is a good replica too; it is taken up again when it was verified (RP03)."""
    other = Kept(kept.path.parent / "other")
    other.path.parent.mkdir()
    await other.refresh(users(*NAMES[::2]))
    replica = await kept.open()
    assert replica.prove(address("user00001@x.example")) is Presence.KNOWN
    kept.path.write_bytes(other.path.read_bytes())
    with pytest.raises(Unavailable):
        replica.prove(address("user00001@x.example"))
    assert "in place" in replica.trouble
    await replica.look()
    assert replica.prove(address("user00001@x.example")) is Presence.UNKNOWN
    await replica.aclose()


async def test_catch_all_domains(tmp_path: Path) -> None:
    """What isn't listed at a domain is what the domain says; ``ask`` is for the source alone, and
    what is listed comes before it."""
    kept = Kept(tmp_path)
    listed = [*users("anna"), ("former@all.example", "disabled")]
    ours = [
        *OURS,
        *domains("all.example", others="catch-all"),
        *domains("ask.example", others="ask"),
    ]
    await kept.refresh(listed, ours)
    replica = await kept.open()
    expected = {
        "anna@x.example": Presence.KNOWN,
        "whoever@all.example": Presence.CATCH_ALL,
        "former@all.example": Presence.DISABLED,
    }
    for text, presence in expected.items():
        assert replica.find(address(text)) is presence
        assert replica.prove(address(text)) is presence
    assert replica.find(address("anna@ask.example")) is None
    with pytest.raises(Unavailable, match="has to be asked"):
        replica.prove(address("anna@ask.example"))
    await replica.aclose()
