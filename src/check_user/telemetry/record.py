"""What is logged, and how a line of it looks.

On a terminal, for people:

    14:53:51.123 info    DENY     unknown   nobody@example.org [policy, 0.8 ms]
    14:53:52.017 warning DENYSOFT fault     anna@example.org [policy, 2900.4 ms]: no answer ...

Elsewhere, for machines, one JSON object a line, ASCII alone:

    {"time": "2007-11-23T14:53:51.123Z", "level": "info", "event": "decision", "verdict": "DENY",
     "reason": "unknown", "address": "nobody@example.org", "door": "policy", "ms": 0.812}

``client`` and ``cause`` are there when they are known. What isn't a decision has the event
``message`` and the one field ``message``. Whatever an address holds (line ends, terminal escapes,
C1 controls, marks that turn the direction of text), it can't begin a line or reach the terminal:
every character that isn't printable is escaped as in Python, and so is the backslash.
"""

from __future__ import annotations

import json
import time
from enum import IntEnum
from typing import NamedTuple

from check_user.verdict import Reason, Verdict


class Level(IntEnum):
    """How grave; the numbers are those of ``logging``."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


class Decided(NamedTuple):
    """One decision. ``time`` is seconds of the wall clock, ``seconds`` how long it took."""

    time: float
    door: str
    verdict: Verdict
    address: str
    client: str
    cause: str
    seconds: float

    @property
    def level(self) -> Level:
        """A fault is a warning, everything else is information."""
        return Level.WARNING if self.verdict.reason is Reason.FAULT else Level.INFO


class Said(NamedTuple):
    """One sentence about the process: it has started, a database host is away, ..."""

    time: float
    level: Level
    message: str


Record = Decided | Said


def as_text(record: Record) -> str:
    """Write a line for people, without its line end."""
    stamp = time.strftime("%H:%M:%S", time.localtime(record.time))
    head = f"{stamp}.{_milliseconds(record.time)} {record.level.name.lower():7}"
    if isinstance(record, Said):
        return f"{head} {printable(record.message)}"
    verdict = record.verdict
    cause = f": {printable(record.cause)}" if record.cause else ""
    client = f", client {printable(record.client)}" if record.client else ""
    return (
        f"{head} {verdict.action.value:8} {verdict.reason.value:9} {printable(record.address)} "
        f"[{record.door}, {record.seconds * 1000:.1f} ms{client}]{cause}"
    )


def as_json(record: Record) -> str:
    """Write one JSON object, without its line end."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.time))
    fields: dict[str, str | float] = {
        "time": f"{stamp}.{_milliseconds(record.time)}Z",
        "level": record.level.name.lower(),
    }
    if isinstance(record, Said):
        fields |= {"event": "message", "message": record.message}
    else:
        fields |= {
            "event": "decision",
            "verdict": record.verdict.action.value,
            "reason": record.verdict.reason.value,
            "address": record.address,
            "door": record.door,
            "ms": round(record.seconds * 1000, 3),
        }
        fields |= {"client": record.client} if record.client else {}
        fields |= {"cause": record.cause} if record.cause else {}
    return json.dumps(fields).replace("\x7f", "\\u007f")  # the one control JSON lets through


def printable(text: str) -> str:
    """Escape what isn't printable, and the backslash, so that the line can be read back."""
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(
        char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode()
        for char in text
    )


def _milliseconds(moment: float) -> str:
    return f"{int(moment * 1000) % 1000:03}"
