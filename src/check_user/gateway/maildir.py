r"""Mail into a maildir: written to ``tmp``, synced, renamed to ``new`` (maildir(5)).

    Return-Path: <sender@client.example>        RFC 5321 4.4
    Delivered-To: anna@ours.example             one for each recipient
    Received: from ...
    (the message)

Lines end with LF in the file, as everywhere in maildirs. A name is
``SECONDS.MmicrosecondsPpidQcount.me`` and never used twice. Before 250 is said the file is synced,
renamed, and its folder synced. What is abandoned is removed from ``tmp``; what a crash leaves there
nobody takes for mail.

The message is written as it comes. Every call that may wait for a disk runs in a few threads of our
own, so that a slow one harms no verdict; a disk that hangs makes 451 after the time limits, as for
a next hop.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path

from check_user.gateway.delivery import INTERNAL, Timeouts, Transaction
from check_user.gateway.header import field
from check_user.protocols.smtp import Mail, Recipient, Reply

THREADS = 4
"""Writes at once; the disk is one."""

TAKEN = Reply(250, "2.1.5", ("Recipient ok",))
GO_AHEAD = Reply(354, "", ("Go ahead",))
QUEUED = Reply(250, "2.0.0", ("Queued",))
FULL = Reply(452, "4.3.1", ("Mail system full - try later",))

FULL_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Maildir:
    """One folder. ``me`` ends the files' names; ``report`` takes one line for the log."""

    def __init__(
        self, path: Path, me: str, timeouts: Timeouts, report: Callable[[str], None]
    ) -> None:
        self.path = path
        self.timeouts = timeouts
        self.report = report
        self.threads = ThreadPoolExecutor(THREADS, "maildir")
        self._host = me.replace("/", "_").replace(":", "_")
        self._count = count()

    async def prepare(self) -> None:
        """Make the folders where they aren't, and write a file. Raises OSError."""
        await asyncio.get_running_loop().run_in_executor(self.threads, self._prepare)

    async def examine(self) -> None:
        """Find out if :meth:`prepare` could be done by us. Raises OSError."""
        await asyncio.get_running_loop().run_in_executor(self.threads, self._examine)

    def delivery(self) -> MaildirDelivery:
        """Give one client's way into it."""
        return MaildirDelivery(self)

    def close(self) -> None:
        """End the threads, when they have done what they have to do."""
        self.threads.shutdown(wait=False)

    def unique(self) -> str:
        """Make a file name."""
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        micro = f"{nanoseconds // 1000:06}"
        return f"{seconds}.M{micro}P{os.getpid()}Q{next(self._count)}.{self._host}"

    def _examine(self) -> None:
        for name in ("tmp", "new", "cur"):
            place = self.path / name
            while not place.exists():
                place = place.parent
            if not place.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))
            if not os.access(place, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))

    def _prepare(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("tmp", "new", "cur"):
            (self.path / name).mkdir(mode=0o700, exist_ok=True)
        probe = Message(self)
        probe.open(b"\n")
        probe.discard()
        _sync(self.path / "new")


class Message:
    """One file, from ``tmp`` to ``new``. Its methods block, and may come from several threads.

    They raise OSError; then, and after :meth:`discard`, nothing of the file is left.
    """

    def __init__(self, maildir: Maildir) -> None:
        name = maildir.unique()
        self._temporary = maildir.path / "tmp" / name
        self._final = maildir.path / "new" / name
        self._lock = threading.Lock()
        self._file: int | None = None
        self._discarded = False

    def open(self, envelope: bytes) -> None:
        """Make the file; ``envelope`` is what stands first."""
        with self._working():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            self._file = os.open(self._temporary, flags, 0o600)
        self.write(envelope)

    def write(self, data: bytes) -> None:
        """Write all of it."""
        with self._working():
            view = memoryview(data)
            while view:
                view = view[os.write(self._opened(), view) :]

    def commit(self) -> None:
        """Make it mail."""
        with self._working():
            os.fsync(self._opened())
            self._close()
            self._temporary.rename(self._final)
            _sync(self._final.parent)

    def discard(self) -> None:
        """Remove it, wherever it is: nobody was told that it was taken."""
        with self._lock:
            self._remove()

    @contextmanager
    def _working(self) -> Iterator[None]:
        with self._lock:
            if self._discarded:
                raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))
            try:
                yield
            except OSError:
                self._remove()
                raise

    def _remove(self) -> None:
        self._discarded = True
        for step in (self._close, self._temporary.unlink, self._final.unlink):
            with suppress(OSError):
                step()

    def _opened(self) -> int:
        if self._file is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)


class MaildirDelivery:
    """One client's way into a maildir."""

    def __init__(self, maildir: Maildir) -> None:
        self._maildir = maildir
        self._message: Message | None = None
        self._failed: Reply | None = None

    def recipient(self, mail: Mail, recipient: Recipient, deadline: float) -> Reply:
        """Take anybody."""
        return TAKEN

    async def data(self, transaction: Transaction, *, chunked: bool) -> Reply:
        """Make the file."""
        self._message = message = Message(self._maildir)
        await self._run(self._maildir.timeouts.data, partial(message.open, _envelope(transaction)))
        return self._failed or GO_AHEAD

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Write a piece."""
        if self._message is None or self._failed:
            return None
        write = partial(self._message.write, data.replace(b"\r\n", b"\n"))
        return self._run(self._maildir.timeouts.stall, write)

    async def end(self) -> Reply:
        """Make it mail."""
        if self._message is not None and not self._failed:
            await self._run(self._maildir.timeouts.end, self._message.commit)
        reply = self._failed or (QUEUED if self._message else INTERNAL)
        if reply is QUEUED:
            self._message = None
        self.abandon()
        return reply

    def abandon(self) -> None:
        """Remove what there is of it."""
        message, self._message, self._failed = self._message, None, None
        if message is not None:
            self._maildir.threads.submit(message.discard)

    def close(self) -> None:
        """Do the same."""
        self.abandon()

    async def _run(self, limit: float, work: Callable[[], None]) -> None:
        """Have a thread do it; what goes wrong is the reply to the whole mail."""
        try:
            async with asyncio.timeout(limit):
                await asyncio.get_running_loop().run_in_executor(self._maildir.threads, work)
        except OSError as error:  # TimeoutError is one
            self._failed = FULL if error.errno in FULL_ERRORS else INTERNAL
            cause = error.strerror or "the disk doesn't answer"
            self._maildir.report(f"maildir {self._maildir.path}: {cause}")


def _envelope(transaction: Transaction) -> bytes:
    """Write down what the header of a message doesn't say."""
    paths = (each.text.removeprefix("<").removesuffix(">") for each in transaction.recipients)
    fields = (
        field("Return-Path", f"<{transaction.mail.sender}>"),
        *(field("Delivered-To", path) for path in paths),
    )
    return "".join(f"{each}\n" for each in fields).encode("utf-8", "surrogateescape")


def _sync(folder: Path) -> None:
    """Have a folder's names on the disk."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
