"""Whose file it is: a replica decides about mail, so nobody else may write it or put one there.

:func:`inspect` refuses what isn't a plain file with one name, that we or root own, that only its
owner can write, in a folder of which the same holds (or a sticky one, as /tmp). Root also takes
files of the folder's owner: it looks after the service's replica.

:class:`Lock` makes one process the writer: flock(2) on a file beside the replica, which ends with
the process, however that ends. ``REPLICA.lock`` is held while something is written,
``REPLICA.feeder`` by the process that lists the database for as long as it lives.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

Identity = tuple[int, int, int, int, int]


class Unusable(Exception):
    """There is no replica, or none that can be relied on. The message is one line, for the log."""


class Busy(Exception):
    """Another process writes the replica."""


def inspect(path: Path) -> os.stat_result:
    """Look at the file at ``path``. Raises Unusable."""
    try:
        found, folder = path.lstat(), path.parent.stat()
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from None
    ours = {os.geteuid(), 0}
    if os.geteuid() == 0:
        ours.add(folder.st_uid)
    if not stat.S_ISREG(found.st_mode):
        raise Unusable(f"{path} is not a regular file")
    if found.st_nlink != 1:
        raise Unusable(f"{path} has a second name (a hard link)")
    if found.st_uid not in ours or folder.st_uid not in ours:
        raise Unusable(f"{path} or its folder belongs to somebody else")
    if found.st_mode & OTHERS_WRITE:
        raise Unusable(f"{path} can be written by others: chmod go-w")
    if folder.st_mode & OTHERS_WRITE and not folder.st_mode & stat.S_ISVTX:
        raise Unusable(f"{path.parent} can be written by others: chmod go-w")
    return found


def identity(found: os.stat_result) -> Identity:
    """What changes when a file is replaced, or written in place."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class Lock:
    """A right that one process has, until the end of a ``with`` block.

    By default, that to write the replica at ``path``; ``right`` is the ending of the lock's file.
    """

    def __init__(self, path: Path, right: str = "lock") -> None:
        self._path = beside(path, right)
        self._descriptor = -1

    def __enter__(self) -> Lock:
        """Take it. Raises Busy, or Unusable where the lock's file can't be opened."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise Unusable(f"{self._path}: {error.strerror}") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            writer = os.read(self._descriptor, 20).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise Busy(f"another process writes the replica (process {writer or '?'})") from None
        give_to_owner(self._descriptor, self._path.parent)
        os.truncate(self._descriptor, 0)
        os.write(self._descriptor, b"%d\n" % os.getpid())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Let go."""
        os.close(self._descriptor)


def give_to_owner(descriptor: int, folder: Path) -> None:
    """Where root writes for a service, let the file belong to the service, as its folder does."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, -1)


def beside(path: Path, ending: str) -> Path:
    """The file's companion with this ending."""
    return path.with_name(f"{path.name}.{ending}")
