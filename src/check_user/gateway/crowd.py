r"""How many clients one network has here, and how many recipients it has guessed wrongly.

    192.0.2.7           its network is 192.0.2.0/24
    2001:db8:1:2::7     its network is 2001:db8:1:2::/64, which is what one customer is given

A network may have so many connections at a time; a client beyond is told 421 in place of the
greeting. And so many of its recipients may be refused for good in an hour: after that what would be
5xx is 450, for that network alone. Who asks on learns nothing that tells an unknown recipient from
a fault of ours, and no existing user is ever refused: what isn't 5xx isn't touched. A recipient
that is taken still is, since an honest server that sends a list with many dead addresses in it has
living ones, too, and a network may be that of a large provider. So who is there can still be told
from who isn't; what makes that slow is that such a 450 ends a session as a 5xx does, after twenty,
and that sessions are few.

Aside stand those of whom there may be any number: clients on this host, relay clients, and the
proxies themselves, which name their clients (PROXY).

All processes count together, in memory that they share. It is a count-min sketch (Cormode and
Muthukrishnan, 2005): 4 rows of 8,192 counters; a network has one in each row, by a hash whose key
is secret, and its count is the least of them. So it is never too low; it is too high where a
network shares all four counters with others, which few do: with 10,000 other networks of one client
each by 1 or 2. It takes 384 KiB for a process, however many networks come; nothing can be pushed
out of it, and nobody can tell whose counters he shares. Each process writes only its own counters,
so that none waits for another; the clients of one that was killed are forgotten, its guesses not.
Two processes that decide in the same moment may both let in the last one.

Hours are those of the machine's monotonic clock: this one and the one before count, so that the
limit holds for any hour, and what a network did is forgotten after one to two.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import time
from collections.abc import Callable
from socket import AF_INET, AF_INET6, inet_pton
from typing import TypeAlias

DEPTH = 4
WIDTH = 8192

HOUR = 3600.0

_TABLE = DEPTH * WIDTH
_HOURS = _TABLE
"""Where a process's counters of guesses begin: the hours of two tables, then the tables."""
_ROOM = _TABLE + 2 + 2 * _TABLE
"""Counters of one process: connections, then guesses."""
_KEY = 32
"""Octets of the hash's key, with which the memory begins."""
_COUNTER = 4

_LOOPBACK = bytes(15) + b"\1"
_MAPPED = bytes(10) + b"\xff\xff"
"""What is before an IPv4 address in an IPv6 one (RFC 4291 2.5.5.2)."""

_HASH = struct.Struct(f"<{DEPTH}H")

Counters: TypeAlias = tuple[int, ...]
"""Where a network is counted in a table; empty for those who stand aside."""


def share(processes: int) -> int:
    """Make the memory for as many processes; give its descriptor. Raises OSError."""
    memory = os.memfd_create("networks")
    os.ftruncate(memory, _KEY + processes * _ROOM * _COUNTER)
    os.pwrite(memory, os.urandom(_KEY), 0)
    return memory


def forget(memory: int, place: int) -> None:
    """Forget the clients of a process that has ended."""
    os.pwrite(memory, bytes(_TABLE * _COUNTER), _KEY + place * _ROOM * _COUNTER)


class Crowd:
    """The counts of all processes; ours have ``place`` in ``memory`` (see :func:`share`)."""

    def __init__(
        self, memory: int | None = None, place: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with no clients of ours; without ``memory`` there are no other processes."""
        descriptor = share(1) if memory is None else memory
        whole = memoryview(mmap.mmap(descriptor, 0))
        if memory is None:
            os.close(descriptor)
        self._key = bytes(whole[:_KEY])
        self._cells = whole[_KEY:].cast("I")
        self._processes = range(0, len(self._cells), _ROOM)
        self._ours = place * _ROOM
        self._clock = clock
        self._clear(self._ours)

    def counters(self, network: bytes) -> Counters:
        """Say where a network is counted."""
        digest = hashlib.blake2b(network, key=self._key, digest_size=_HASH.size).digest()
        return tuple(
            row * WIDTH + number % WIDTH for row, number in enumerate(_HASH.unpack(digest))
        )

    def clients(self, counters: Counters) -> int:
        """Tell how many clients a network has."""
        return self._least(list(self._processes), counters)

    def add_client(self, counters: Counters, number: int) -> None:
        """Count a client who has come (1) or gone (-1)."""
        for each in counters:
            self._cells[self._ours + each] += number

    def guesses(self, counters: Counters) -> int:
        """Tell how many recipients a network had refused in this hour and the one before."""
        hour = self._hour()
        tables = [
            process + _HOURS + 2 + parity * _TABLE
            for process in self._processes
            for parity in (0, 1)
            if hour - self._cells[process + _HOURS + parity] in (0, 1)
        ]
        return self._least(tables, counters)

    def add_guess(self, counters: Counters) -> None:
        """Count a recipient who was refused."""
        hour = self._hour()
        parity = hour % 2
        label = self._ours + _HOURS + parity
        table = self._ours + _HOURS + 2 + parity * _TABLE
        if self._cells[label] != hour:
            self._clear(table)
            self._cells[label] = hour
        for each in counters:
            self._cells[table + each] += 1

    def _hour(self) -> int:
        """Number the hours; a zero in the memory is none of them, nor the one before the first."""
        return 2 + int(self._clock() // HOUR)

    def _least(self, tables: list[int], counters: Counters) -> int:
        return min(sum(self._cells[table + each] for table in tables) for each in counters)

    def _clear(self, table: int) -> None:
        self._cells[table : table + _TABLE] = memoryview(bytes(_TABLE * _COUNTER)).cast("I")


class Visit:
    """One client of a network, from the greeting until it leaves."""

    __slots__ = ("_counters", "_crowd", "_unknown")

    def __init__(self, crowd: Crowd, counters: Counters, unknown: int) -> None:
        self._crowd = crowd
        self._counters = counters
        self._unknown = unknown
        if counters:
            crowd.add_client(counters, 1)

    def may_guess(self) -> bool:
        """Whether one more recipient may be refused for good; if so, it is counted."""
        if not self._counters or not self._unknown:
            return True
        if self._crowd.guesses(self._counters) >= self._unknown:
            return False
        self._crowd.add_guess(self._counters)
        return True

    def leave(self) -> None:
        """It has gone. Once."""
        if self._counters:
            self._crowd.add_client(self._counters, -1)


class Doorkeeper:
    """Lets clients in: ``clients`` of a network at a time, ``unknown`` recipients in an hour.

    0 is no limit. ``is_aside(client)`` tells whom they don't concern, but for this host's clients.
    """

    def __init__(
        self, crowd: Crowd, *, clients: int, unknown: int, is_aside: Callable[[str], bool]
    ) -> None:
        self._crowd = crowd
        self._clients = clients
        self._unknown = unknown
        self._is_aside = is_aside

    def admit(self, client: str) -> Visit | None:
        """Let a client in, unless its network has too many here; it is counted if so."""
        network = network_of(client)
        if not network or self._is_aside(client):
            return Visit(self._crowd, (), 0)
        counters = self._crowd.counters(network)
        if self._clients and self._crowd.clients(counters) >= self._clients:
            return None
        return Visit(self._crowd, counters, self._unknown)


def network_of(client: str) -> bytes:
    """Give the octets that name a client's network; none for this host's own clients."""
    if not client:
        return b""
    if ":" in client:
        octets = inet_pton(AF_INET6, client.partition("%")[0]).removeprefix(_MAPPED)
    else:
        octets = inet_pton(AF_INET, client)
    if len(octets) == 4:
        return octets[:3] if octets[0] != 127 else b""
    return octets[:8] if octets != _LOOPBACK else b""
