"""How many clients the process may have at once, so that the database never lacks a descriptor.

Every client costs a file descriptor. If clients may take the last one, the directory can't open a
connection, and every answer is DENYSOFT. So a number of descriptors
is kept back, and one :class:`Capacity`, shared by all servers of the process, counts the clients. A
client beyond it is accepted and closed at once: it learns in a millisecond what it would else learn
by a timeout.
"""

from __future__ import annotations

import resource

RESERVED = 64
"""Descriptors kept back for the database, the listening sockets, the log and the event loop."""

NR_OPEN = 1_048_576
"""What Linux allows where RLIMIT_NOFILE sets no limit (``fs.nr_open``, proc(5))."""


class Capacity:
    """Counts clients up to ``limit``."""

    __slots__ = ("clients", "limit")

    def __init__(self, limit: int) -> None:
        """Begin with no clients."""
        self.limit = limit
        self.clients = 0

    @classmethod
    def of_process(cls, reserved: int = RESERVED) -> Capacity:
        """All descriptors that the process may open (RLIMIT_NOFILE), but for ``reserved``.

        Where so few may be opened that less than a half were left, clients get a half.
        """
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            files = NR_OPEN
        return cls(max(files - reserved, files // 2))

    def enter(self) -> bool:
        """Count a client, if there is room for it."""
        if self.clients >= self.limit:
            return False
        self.clients += 1
        return True

    def leave(self) -> None:
        """A client that was counted has gone."""
        self.clients -= 1
