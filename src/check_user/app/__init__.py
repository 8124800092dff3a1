"""The composition root: settings become objects here, and nowhere else. It alone knows everything.

``doors`` (the names of the doors and their protocols), ``build`` (settings to directory and check),
``generation`` (one configuration, proven), ``service`` (start, signals, reload, end), ``notify``
(systemd); beside them ``asking`` (a lookup from blocking code), ``doctor`` and ``demo``. What the
commands call:

- :func:`serve`: run every door in the foreground until a signal ends it;
- :func:`asking`: open the directory and ask about addresses;
- :func:`examine`: the findings about a configuration;
- :func:`prepare_demo`: a database and a configuration to play with.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from check_user.app.asking import Answer, Ask, asking
from check_user.app.demo import Demo, prepare_demo
from check_user.app.doctor import examine
from check_user.app.service import Service

__all__ = ["Answer", "Ask", "Demo", "asking", "examine", "prepare_demo", "serve"]


def serve(path: Path, started: Callable[[], None] = lambda: None) -> None:
    """Serve the configuration in ``path`` until SIGTERM or SIGINT; call ``started`` when it does.

    Raises ConfigError and Misconfigured (exit 78), Unavailable (exit 69).
    """
    _hold_standard_descriptors()
    _raise_descriptor_limit()

    def begun() -> None:
        _spare_the_collector()
        started()

    async def main() -> None:
        await Service(path, begun).run()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Choose uvloop where it is installed (the extra ``fast``)."""
    try:
        import uvloop  # noqa: PLC0415 - optional, and only the service is in a hurry
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _spare_the_collector() -> None:
    """Keep the garbage collector from what was loaded, and from looking every 700 objects.

    A lookup makes no cycles: reference counts free all of it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


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
