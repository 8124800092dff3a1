"""How many clients the process may have at once, so that the database never lacks a descriptor.

Every client costs a file descriptor. If clients may take the last one, the directory can't open a
connection, and every answer is DENYSOFT. So a number of descriptors
is kept back, and one :class:`Capacity`, shared by all servers of the process, counts the clients. A
client beyond it is accepted and closed at once, after a 421 where it speaks SMTP: it learns in a
millisecond what it would else learn by a timeout.
"""

from __future__ import annotations

import mmap
import os
import resource
import struct

RESERVED = 64
"""Descriptors kept back for the database, the listening sockets, the log and the event loop."""

LEAD = 4
"""A process may have a fourth more clients than another, and one."""

NR_OPEN = 1_048_576
"""What Linux allows where RLIMIT_NOFILE sets no limit (``fs.nr_open``, proc(5))."""


class Shares:
    """How many clients each of several processes has, in memory that they share.

    The processes accept from the same sockets, and whoever wakes first would take all. ``memory``
    is the descriptor of a file of four octets a process (:func:`share`), ``place`` our own.
    """

    __slots__ = ("_memory", "_numbers", "_offset")

    def __init__(self, memory: int, place: int) -> None:
        """Begin with no clients; the one whose place it was has gone."""
        self._memory = mmap.mmap(memory, 0)
        self._numbers = struct.Struct(f"={len(self._memory) // 4}I")
        self._offset = 4 * place
        self.put(0)

    def put(self, clients: int) -> None:
        """Tell the others how many clients we have."""
        struct.pack_into("=I", self._memory, self._offset, clients)

    def is_ahead(self, clients: int) -> bool:
        """Whether another process has far fewer than ``clients``.

        How many are far fewer grows with their number, so that a burst is soon taken: processes
        that wait for each other after every client take a second for a thousand.
        """
        fewest: int = min(self._numbers.unpack_from(self._memory))
        return clients > fewest + 1 + fewest // LEAD


def share(processes: int) -> int:
    """Make the memory for :class:`Shares`; give its descriptor. Raises OSError."""
    memory = os.memfd_create("clients")
    os.ftruncate(memory, 4 * processes)
    return memory


class Capacity:
    """Counts clients up to ``limit``; ``shares`` where other processes have a part of them."""

    __slots__ = ("_shares", "clients", "limit")

    def __init__(self, limit: int, shares: Shares | None = None) -> None:
        """Begin with no clients."""
        self.limit = limit
        self.clients = 0
        self._shares = shares

    @classmethod
    def of_process(cls, shares: Shares | None = None, reserved: int = RESERVED) -> Capacity:
        """All descriptors that the process may open (RLIMIT_NOFILE), but for ``reserved``.

        Where so few may be opened that less than a half were left, clients get a half.
        """
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            files = NR_OPEN
        return cls(max(files - reserved, files // 2), shares)

    @property
    def is_ahead(self) -> bool:
        """Whether the next client is rather another process's."""
        return self._shares is not None and self._shares.is_ahead(self.clients)

    def enter(self) -> bool:
        """Count a client, if there is room for it."""
        if self.clients >= self.limit:
            return False
        self.clients += 1
        if self._shares is not None:
            self._shares.put(self.clients)
        return True

    def leave(self) -> None:
        """A client that was counted has gone."""
        self.clients -= 1
        if self._shares is not None:
            self._shares.put(self.clients)
