"""What is logged, and how a line of it looks.

On a terminal, for people:

    14:53:51.123 info    DENY     unknown   nobody@example.org [policy, 0.8 ms]
    14:53:52.017 warning DENYSOFT fault     anna@example.org [policy, 2900.4 ms]: no answer ...

Elsewhere, for machines, one JSON object a line, ASCII alone:

    {"time": "2007-11-23T14:53:51.123Z", "level": "info", "event": "decision", "verdict": "DENY",
     "reason": "unknown", "address": "nobody@example.org", "door": "policy", "ms": 0.812}

``client``, ``cause`` and ``source`` (what in the directory gave the answer, where it is more than
the address itself: ``catch-all``, ``alias domain``, ...) are there when they are known. What isn't
a decision has the event ``message`` and the one field ``message``. Whatever an address holds (line
ends, terminal escapes, C1 controls, marks that turn the direction of text), it can't begin a line
or reach the terminal: every character that isn't printable is escaped as in Python, and so is the
backslash.
"""

from __future__ import annotations

import time
from enum import IntEnum
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import NamedTuple

from check_user.verdict import Reason, Verdict


class Level(IntEnum):
    """How grave; the numbers are those of ``logging``."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


# Before Python 3.12 naming an enumeration's member runs Python code (150 ns), and so do ``value``
# and the hash of a member; ``_value_`` is a plain attribute. What is done for every decision
# therefore has the members by names of its own.
_FAULT = Reason.FAULT
_INFO = Level.INFO
_WARNING = Level.WARNING


class Decided(NamedTuple):
    """One decision. ``time`` is seconds of the wall clock, ``seconds`` how long it took."""

    time: float
    door: str
    verdict: Verdict
    address: str
    client: str
    cause: str
    seconds: float
    source: str = ""

    @property
    def level(self) -> Level:
        """A fault is a warning, everything else is information."""
        return _WARNING if self.verdict.reason is _FAULT else _INFO


class Said(NamedTuple):
    """One sentence about the process: it has started, a database host is away, ..."""

    time: float
    level: Level
    message: str


Record = Decided | Said


def as_text(record: Record) -> str:
    """Write a line for people, without its line end."""
    second, thousandth = divmod(int(record.time * 1000), 1000)
    head = f"{_clock(second)}.{thousandth:03} {_NAMES[record.level]:7}"
    if isinstance(record, Said):
        return f"{head} {printable(record.message)}"
    verdict = record.verdict
    cause = f": {printable(record.cause)}" if record.cause else ""
    client = f", client {printable(record.client)}" if record.client else ""
    source = f", {record.source}" if record.source else ""
    return (
        f"{head} {verdict.action.value:8} {verdict.reason.value:9} {printable(record.address)} "
        f"[{record.door}, {record.seconds * 1000:.1f} ms{client}{source}]{cause}"
    )


def as_json(record: Record) -> str:
    """Write one JSON object, without its line end."""
    thousandths = int(record.time * 1000)
    second = thousandths // 1000
    point = "%03d" % (thousandths - second * 1000)  # noqa: UP031 - an f-string takes twice as long
    head = f'{{"time": "{_date(second)}.{point}Z", "level": "{_NAMES[record.level]}"'
    if isinstance(record, Said):
        line = f'{head}, "event": "message", "message": {_quoted(record.message)}}}'
    else:
        _, door, verdict, address, client, cause, seconds, source = record
        client = f', "client": {_quoted(client)}' if client else ""
        cause = f', "cause": {_quoted(cause)}' if cause else ""
        source = f', "source": "{source}"' if source else ""
        line = (
            f'{head}, "event": "decision", "verdict": "{verdict.action._value_}", '
            f'"reason": "{verdict.reason._value_}", "address": {_quoted(address)}, '
            f'"door": "{door}", "ms": {seconds * 1000:.3f}{client}{source}{cause}}}'
        )
    if "\x7f" in line:  # the one control character that JSON lets through
        line = line.replace("\x7f", "\\u007f")
    return line


def printable(text: str) -> str:
    """Escape what isn't printable, and the backslash, so that the line can be read back."""
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(
        char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode()
        for char in text
    )


@lru_cache(maxsize=4)
def _clock(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


_NAMES = {level: level.name.lower() for level in Level}
