"""The addresses of the database's hosts, looked up so that a silent DNS harms nobody.

``getaddrinfo`` can't be cancelled: a silent name server holds its thread for ten seconds and more,
and the event loop's shared threads are soon all held. So each host has one look-up under way at
most, in a thread of its own; whoever needs an address waits for it with their own clock, and when
a new look-up takes longer than ``PATIENCE``, the addresses of the last good one serve.

A name that doesn't exist is a fault of the server's side (:class:`OSError`), not "no user".
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading

PATIENCE = 0.3
"""Seconds to wait for a fresh answer where an old one is at hand."""


class Resolver:
    """Resolves host names, joining equal questions."""

    def __init__(self) -> None:
        self._underway: dict[str, asyncio.Future[tuple[str, ...]]] = {}
        self._last: dict[str, tuple[str, ...]] = {}

    async def resolve(self, host: str) -> tuple[str, ...]:
        """The addresses of ``host``, at least one; an address is its own. Raises OSError."""
        if is_address(host):
            return (host,)
        lookup = self._underway.get(host) or self._begin(host)
        last = self._last.get(host)
        if last is not None:
            await asyncio.wait({lookup}, timeout=PATIENCE)
            return lookup.result() if lookup.done() else last
        await asyncio.wait({lookup})
        return lookup.result()

    def _begin(self, host: str) -> asyncio.Future[tuple[str, ...]]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[str, ...]] = loop.create_future()
        future.add_done_callback(lambda done: self._note(host, done))
        self._underway[host] = future
        threading.Thread(
            target=_look_up, args=(host, loop, future), name=f"resolve {host}", daemon=True
        ).start()
        return future

    def _note(self, host: str, done: asyncio.Future[tuple[str, ...]]) -> None:
        del self._underway[host]
        if not done.cancelled() and done.exception() is None:
            self._last[host] = done.result()


def is_address(host: str) -> bool:
    """Whether ``host`` is an IP address already."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _look_up(
    host: str, loop: asyncio.AbstractEventLoop, future: asyncio.Future[tuple[str, ...]]
) -> None:
    """In the thread: ask, and hand the outcome to the loop (which may be gone by then)."""
    outcome: tuple[str, ...] | OSError
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        outcome = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    except OSError as error:
        outcome = OSError(f"can't resolve '{host}': {error.strerror}")
    except UnicodeError:
        outcome = OSError(f"'{host}' is not a host name")
    if not loop.is_closed():
        loop.call_soon_threadsafe(_settle, future, outcome)


def _settle(future: asyncio.Future[tuple[str, ...]], outcome: tuple[str, ...] | OSError) -> None:
    if future.done():
        return
    if isinstance(outcome, OSError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
