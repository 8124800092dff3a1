"""Taking clients off a listening socket, without ever taking a descriptor that isn't ours to take.

The event loops' own servers accept whatever is waiting before anybody can say no: a burst takes
every descriptor that is left, and then they wait a second, or busy themselves. So this is done
here. A client is counted in before it becomes a connection; one too many is refused and closed in
the same moment. Should the process or the machine be out of descriptors or memory all the same,
accepting rests for a while and the kernel keeps the clients.

Accepting is quick and making a connection is not. So a burst is accepted at once, before the
kernel's queue is full and a client has to try again after a second, and then made into connections
a few at a time, so that the clients that are there already are served in between.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable

from check_user.servers.capacity import Capacity

ACCEPTED = 512
"""Clients accepted in one turn of the event loop: some 5 ms."""

SHARED = 2
"""The same where other processes accept from the same socket: each takes its part."""

COURTESY = 0.002
"""Seconds for which a process that is ahead of another leaves new clients to it."""

AFTER_ALL = 8
"""Clients that it then takes if it still is: should the other hang, that is 4,000 a second."""

WELCOMED = 64
"""Clients that become connections in one turn of the event loop: some 5 ms."""

PAUSE = 0.2
"""Seconds without accepting after the kernel had no descriptor or memory for one more client."""

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """Hands every client of ``listening`` that there is room for to ``welcome``, counted in.

    It is non-blocking when it is handed over; whoever has it says ``capacity.leave()``. The others
    go to ``refuse``, which mustn't wait and closes them.
    """

    def __init__(
        self,
        listening: socket.socket,
        capacity: Capacity,
        welcome: Callable[[socket.socket], None],
        refuse: Callable[[socket.socket], None],
        report: Callable[[str], None],
        *,
        is_shared: bool,
    ) -> None:
        """Begin to accept, on the running event loop."""
        self._at_once = SHARED if is_shared else ACCEPTED
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._capacity = capacity
        self._welcome = welcome
        self._refuse = refuse
        self._report = report
        self._pause: asyncio.TimerHandle | None = None
        self._accepted: deque[socket.socket] = deque()
        self._resume()

    def stop(self) -> None:
        """Accept no more, and welcome who was accepted; the socket stays open."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)
        while self._accepted:
            self._welcome(self._accepted.popleft())

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listening, self._accept)

    def _rest(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._listening)
        self._pause = self._loop.call_later(seconds, then)

    def _accept(self) -> None:
        if self._capacity.is_ahead:
            self._rest(COURTESY, self._accept_after_all)
        else:
            self._accept_some(self._at_once)

    def _accept_after_all(self) -> None:
        self._resume()
        self._accept_some(AFTER_ALL if self._capacity.is_ahead else self._at_once)

    def _accept_some(self, most: int) -> None:
        if not self._accepted:
            self._loop.call_soon(self._usher)
        for _ in range(most):
            try:
                client, _ = self._listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                self._report(f"can't accept clients: {error.strerror}")
                self._rest(PAUSE, self._resume)
                return
            if self._capacity.enter():
                client.setblocking(False)
                self._accepted.append(client)
            else:
                self._refuse(client)
                self._report(f"refused a client: there are {self._capacity.limit} already")

    def _usher(self) -> None:
        """Welcome a few of the accepted."""
        for _ in range(min(WELCOMED, len(self._accepted))):
            self._welcome(self._accepted.popleft())
        if self._accepted:
            self._loop.call_soon(self._usher)
