"""``check-user replica``: build, status, verify.

    replica       /var/lib/check_user/replica.db
    state         good: every row is proven
    generation    7
    recipients    12345
    domains       12
    listed        2007-11-23 14:53:51 +0000, 12 s old; took 0.8 s
    refused       nothing

While they list, ``build`` and ``verify`` say how far they are, on a terminal as a bar::

    [#########.....................] 312,000 of 1,000,000 rows, 140,000 a second, 5 s left
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from argparse import Namespace
from pathlib import Path

from check_user.app.build import build_feeder, source_of, sql_options
from check_user.config import ConfigError, Settings, find, load
from check_user.directory import Unavailable
from check_user.directory.front import shown_age
from check_user.directory.refresh import Refused
from check_user.directory.replica import (
    Busy,
    Clock,
    Generation,
    Trouble,
    Unusable,
    open_generation,
    read_since,
)
from check_user.telemetry import printable

BAR = 30
"""Characters of the bar."""

REDRAW = 0.1
"""Seconds between two states of the bar."""

REPEAT = 5.0
"""Seconds between two lines where there is no terminal."""


def replica(options: Namespace) -> int:
    """Run one of the three; 1 when it isn't as it should be, 75 when it couldn't be done now."""
    settings = load(find(options.config))
    if not settings.replica:
        raise ConfigError(settings.file, 0, "replica", "is not set: there is no replica")
    try:
        match options.action:
            case "build":
                return asyncio.run(_build(settings, accept_loss=options.accept_loss))
            case "verify":
                return asyncio.run(_verify(settings))
            case _:
                return _status(settings)
    except (Refused, Unusable) as error:
        return _fail(1, error)
    except (Busy, Trouble, Unavailable) as error:
        return _fail(os.EX_TEMPFAIL, error)


async def _build(settings: Settings, *, accept_loss: bool) -> int:
    with Bar() as bar:
        done = await build_feeder(settings, _report).refresh(
            accept_loss=accept_loss, progress=bar.show
        )
    print(printable(f"{settings.replica}: {done}"))
    return os.EX_OK


async def _verify(settings: Settings) -> int:
    with Bar() as bar:
        difference = await build_feeder(settings, _report).compare(bar.show)
    told = str(difference)
    print(printable(told or "the replica is what the database holds"))
    return int(bool(told))


def _status(settings: Settings) -> int:
    path = Path(settings.replica)
    print(f"replica       {printable(str(path))}")
    try:
        generation = open_generation(path)
    except Unusable as error:
        print(f"state         can't be used: {printable(str(error))}")
        return 1
    generation.close()
    return _describe(settings, path, generation)


def _describe(settings: Settings, path: Path, generation: Generation) -> int:
    meta, since = generation.meta, read_since(path, generation.meta)
    is_ours = meta.source == source_of(sql_options(settings))
    age = Clock().age(since.listed)
    listed = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(since.listed.wall))
    lines = {
        "state": "good: every row is proven" if is_ours else "listed from another source",
        "generation": str(meta.number),
        "recipients": str(meta.recipients),
        "domains": str(meta.domains),
        "listed": f"{listed}, {shown_age(age)}; took {meta.took:.1f} s",
        "known since": str(len(since.known)),
        "refused": since.refused or "nothing",
    }
    if meta.skipped:
        lines["no addresses"] = f"{meta.skipped} rows, '{meta.example}' for one"
    for name, text in lines.items():
        print(f"{name:13} {printable(text)}")
    is_fresh = age is not None and age < settings.replica_accept_max_age
    return int(not (is_ours and is_fresh) or bool(since.refused))


def _report(text: str) -> None:
    print(f"check-user: {printable(text)}", file=sys.stderr)


def _fail(code: int, error: Exception) -> int:
    _report(str(error))
    return code


class Bar:
    """Shows progress on stderr: in place on a terminal, else by a line now and then."""

    def __init__(self) -> None:
        """Begin the clock."""
        self._in_place = sys.stderr.isatty()
        self._pause = REDRAW if self._in_place else REPEAT
        self._begun = self._shown = time.monotonic()

    def __enter__(self) -> Bar:
        """Nothing is shown yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the terminal's line as it was."""
        if self._in_place:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def show(self, rows: int, total: int) -> None:
        """Show ``rows`` of ``total``."""
        now = time.monotonic()
        if now - self._shown >= self._pause:
            self._shown = now
            line = drawn(rows, total, now - self._begun)
            text = f"\r\x1b[K{line}" if self._in_place else f"{line}\n"
            print(text, end="", file=sys.stderr, flush=True)


def drawn(rows: int, total: int, seconds: float) -> str:
    """Write the bar after so many seconds."""
    total = max(total, rows, 1)
    rate = rows / max(seconds, 0.001)
    left = (total - rows) / max(rate, 0.001)
    full = BAR * rows // total
    bar = "#" * full + "." * (BAR - full)
    return f"[{bar}] {rows:,} of {total:,} rows, {rate:,.0f} a second, {left:.0f} s left"
