"""The wire between the supervisor and a worker: JSON objects with file descriptors beside them.

One socket pair of packets (SOCK_SEQPACKET) a worker, so that a message is whole or isn't there::

    {"do": "prepare", "doors": [["unix:/run/check_user/line.sock", 1], ...]}
                                beside it the configuration (a memfd) and the listening sockets
    {"said": "ready"}           or {"said": "failed", "kind": "Unavailable", "arguments": [...]}
    {"do": "commit"}            serve what was prepared; or {"do": "discard"}
    {"said": "serving"}
    {"said": "alive"}           every PULSE seconds, whatever else it does: its event loop runs
    {"do": "stop"}
    {"said": "counts", "counts": {"known": 12, ...}}        the worker's last word

The end of the wire is the end of the other side: the worker then stops, the supervisor starts a new
one. Nothing that came from a client is ever on it.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any

PULSE = 1.0
"""Seconds between two signs of life."""

LONGEST = 65536
"""Octets of a message; a door takes about a hundred."""

MOST_SOCKETS = 250
"""File descriptors that a message may carry (Linux: SCM_MAX_FD is 253)."""

Message = dict[str, Any]


class Wire:
    """One end. :meth:`receive` gives messages in order; after the other side's end, always None."""

    def __init__(self, end: socket.socket) -> None:
        """Own ``end``; on the running event loop."""
        end.setblocking(False)
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._came: deque[tuple[Message, list[int]] | None] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._loop.add_reader(end, self._read)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send; a message to nobody is lost. Never waits: the kernel holds far more than we say."""
        if self._end.fileno() < 0:
            return
        data = json.dumps(message).encode()
        try:
            socket.send_fds(self._end, [data], descriptors)
        except (BrokenPipeError, ConnectionResetError, BlockingIOError):
            return

    async def receive(self) -> tuple[Message, list[int]] | None:
        """Wait for the next message, with the file descriptors that came along."""
        while not self._came:
            self._waiting = self._loop.create_future()
            await self._waiting
        message = self._came[0]
        if message is not None:
            self._came.popleft()
        return message

    def close(self) -> None:
        """Hang up."""
        self._loop.remove_reader(self._end)
        self._end.close()

    def _read(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._end, LONGEST, MOST_SOCKETS)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if data:
            self._came.append((json.loads(data), descriptors))
        else:
            self._loop.remove_reader(self._end)
            self._came.append(None)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
