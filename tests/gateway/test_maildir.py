"""Mail in a folder: whole, synced, and there before 250; otherwise not at all."""

from __future__ import annotations

import os
import subprocess
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from check_user.gateway.chain import Chain
from check_user.gateway.error import GatewayError
from check_user.gateway.maildir import Maildir, Message
from check_user.protocols.smtp import Content, Data, End
from tests.gateway.asking import MAIL, SHORT, Gateway, codes, mail_of


def names(folder: Path) -> dict[str, list[str]]:
    return {each: listed(folder / each) for each in ("tmp", "new", "cur")}


def listed(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


async def test_a_mail_in_a_file(gateway: Gateway) -> None:
    """Envelope, Received field and message, with LF, in one file of ours in 'new'."""
    client = await gateway.client("queue/maildir mail")
    content = b"Subject: x\r\n\r\n.\r\n..dots\r\nno end"
    for sender in ("sender@client.example", ""):
        mail = mail_of(sender=sender)
        replies = await client.send(["anna@ours.example", "karl@ours.example"], content, mail=mail)
        assert codes(replies) == [250, 250, 250]
    folder = gateway.folder / "mail"
    stored = sorted((folder / "new").iterdir())
    assert len(stored) == 2
    text = stored[0].read_text()
    assert text.startswith(
        "Return-Path: <sender@client.example>\n"
        "Delivered-To: anna@ours.example\nDelivered-To: karl@ours.example\n"
        "Received: from client.example ([192.0.2.7])\n\tby gateway.example with ESMTP id "
    )
    assert text.endswith("\nSubject: x\n\n.\n..dots\nno end")
    assert stored[1].read_text().startswith("Return-Path: <>\n")
    assert stored[0].stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o077 == 0
    assert listed(folder / "tmp") == []


async def test_250_comes_after_the_disk(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synced before it is renamed, the folder after, and then 250 is said."""
    client = await gateway.client("queue/maildir mail")
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def synced(file: int) -> None:
        steps.append(f"sync {Path(f'/proc/self/fd/{file}').readlink().parent.name}")
        fsync(file)

    def renamed(path: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    assert codes(await client.send()) == [250, 250]
    assert steps == ["sync tmp", "rename", "sync mail"]


async def test_nothing_blocks_the_loop(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call that touches the disk runs in a thread of the maildir's."""
    client = await gateway.client("queue/maildir mail")
    threads = set()
    for name in ("open", "write", "commit", "discard"):
        original = getattr(Message, name)

        def observed(*arguments: object, original: object = original) -> None:
            threads.add(threading.current_thread())
            original(*arguments)  # type: ignore[operator] # a method

        monkeypatch.setattr(Message, name, observed)
    assert codes(await client.send()) == [250, 250]
    await client.told(MAIL)
    await client.rcpt("anna@ours.example")
    await client.told(Data(chunked=False))
    client.session.closed()
    maildir(client.chain).threads.shutdown()
    assert threads
    assert threading.main_thread() not in threads


def maildir(chain: Chain) -> Maildir:
    return chain._queue.maildir  # type: ignore[attr-defined,no-any-return] # a QueueMaildir


async def test_a_full_disk(gateway: Gateway, small_disk: Path) -> None:
    """A disk that gets full is 452 4.3.1, nothing of the mail stays, and the next one goes."""
    client = await gateway.client(f"queue/maildir {small_disk}/mail")
    large = [b"Subject: x\r\n\r\n", *[b"x" * 998 + b"\r\n"] * 300]
    reply = (await client.send(content=large))[-1]
    assert (reply.code, reply.enhanced) == (452, "4.3.1")
    assert gateway.reports == [f"maildir {small_disk}/mail: No space left on device"]
    assert codes(await client.send()) == [250, 250]
    found = names(small_disk / "mail")
    assert (len(found["new"]), found["tmp"]) == (1, [])


async def test_an_error_leaves_nothing(small_disk: Path, gateway: Gateway) -> None:
    """Whoever is told of an error finds the room free again, and can't make mail of the rest."""
    folder = Maildir(small_disk / "mail", "mx.example", SHORT, gateway.reports.append)
    await folder.prepare()
    message = Message(folder)
    message.open(b"Subject: x\n\n")
    with pytest.raises(OSError, match="No space"):
        message.write(b"x" * 1_000_000)
    assert names(small_disk / "mail")["tmp"] == []
    with pytest.raises(OSError, match="canceled"):
        message.commit()
    folder.close()


async def test_a_folder_that_goes_away(gateway: Gateway) -> None:
    """A folder that can't be written to any more is 451 at DATA or at the end, never 250."""
    client = await gateway.client("queue/maildir mail")
    await client.told(MAIL)
    await client.rcpt("anna@ours.example")
    await client.told(Data(chunked=False))
    (gateway.folder / "mail" / "new").rmdir()
    assert await client.ask(Content(b"x\r\n")) is None
    assert (await client.told(End(3))).code == 451
    (gateway.folder / "mail" / "new").mkdir()
    assert codes(await client.send()) == [250, 250]
    for each in (gateway.folder / "mail" / "tmp").iterdir():
        each.unlink()
    (gateway.folder / "mail" / "tmp").rmdir()
    assert codes(await client.send()) == [250, 451]
    assert len(listed(gateway.folder / "mail" / "new")) == 1


@pytest.mark.parametrize("before", [True, False])
async def test_a_disk_that_hangs(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """A disk that doesn't answer is 451 in time, and what it does later leaves no mail."""
    gateway.timeouts = SHORT
    client = await gateway.client("queue/maildir mail")
    goes_on = threading.Event()
    commit = Message.commit

    def hang(message: Message) -> None:
        if before:
            goes_on.wait(10)
        commit(message)
        goes_on.wait(10)

    monkeypatch.setattr(Message, "commit", hang)
    assert codes(await client.send()) == [250, 451]
    goes_on.set()
    maildir(client.chain).threads.shutdown()
    assert names(gateway.folder / "mail") == {"tmp": [], "new": [], "cur": []}


@pytest.mark.parametrize("place", ["file/mail", "/proc/mail"])
async def test_a_folder_that_cannot_be(gateway: Gateway, place: str) -> None:
    """Where the folder can't be made, the gateway doesn't start, and says which line."""
    (gateway.folder / "file").write_text("")
    chain = gateway.chain(f"check_user\nqueue/maildir {place}\n")
    with pytest.raises(GatewayError) as caught:
        await chain.start()
    await chain.aclose()
    assert caught.value.line == 2
    assert place in str(caught.value)


async def test_memory_is_bounded(gateway: Gateway) -> None:
    """A message of 50 MB is never held: it goes to the disk as it comes."""
    client = await gateway.client("queue/maildir mail")
    await client.told(MAIL)
    await client.rcpt("anna@ours.example")
    await client.told(Data(chunked=False))
    piece = (b"x" * 998 + b"\r\n") * 60
    tracemalloc.start()
    for _ in range(800):
        await client.ask(Content(piece))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * len(piece)
    assert (await client.told(End(800 * len(piece)))).code == 250


def test_names_are_never_used_twice(gateway: Gateway) -> None:
    """Names differ however fast they are made, and hold no separator of paths or flags."""
    folder = Maildir(gateway.folder, "a/b:c", SHORT, gateway.reports.append)
    made = [folder.unique() for _ in range(10_000)]
    assert len(set(made)) == len(made)
    assert not any(set("/:") & set(name) for name in made)
    folder.close()
