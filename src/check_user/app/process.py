"""What every process that serves does for itself: descriptors, the event loop, the collector."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any


def prepare() -> None:
    """Make room for clients, and keep the standard descriptors from them."""
    _hold_standard_descriptors()
    _raise_descriptor_limit()


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` on the fastest event loop that is there."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(work)


def spare_the_collector() -> None:
    """Keep the garbage collector from what was loaded, and from looking every 700 objects.

    A lookup makes no cycles: reference counts free all of it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Choose uvloop where it is installed (the extra ``fast``)."""
    try:
        import uvloop  # noqa: PLC0415 - optional, and only the service is in a hurry
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _hold_standard_descriptors() -> None:
    """Open 0, 1 and 2 where they are closed: else a socket gets the number, and the log with it."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _raise_descriptor_limit() -> None:
    """Allow as many clients as the system lets us."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
