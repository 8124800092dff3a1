"""The directory: who is there. The interface that every source of accounts implements.

A directory has three kinds of answer, and they are three types, never ``None`` and never a bool:

- a :class:`Presence`: a complete answer from a source that could be asked;
- :class:`Unavailable` raised: the source could not tell. Whoever asks turns it into DENYSOFT.

Nothing here logs, retries or decides about mail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

from check_user.address import Address, Domain


class Presence(Enum):
    """The complete answers; the value is the answer's source in the log.

    =============  ================================================================
    KNOWN          the address itself is stored
    BASE           the address without its extension is (``anna`` of ``anna+lists``), or without
                   its BATV tag
    SRS            it has the form of SRS; the mail server tells whether it is genuine
    ALIAS_DOMAIN   its domain stands for another one, in which it is
    CATCH_ALL      its domain takes whatever nobody else takes
    RELAY          its domain's accounts are another server's: it is never refused
    DISABLED       it is stored, and switched off or expired
    REFUSED        it is stored in order to be refused
    BUSY           it is there, and can't take mail for a moment
    FULL           it is there, and its mailbox is full
    UNKNOWN        its domain is ours, and it isn't there
    FOREIGN        its domain isn't ours
    =============  ================================================================
    """

    KNOWN = "known"
    BASE = "without extension"
    SRS = "srs"
    ALIAS_DOMAIN = "alias domain"
    CATCH_ALL = "catch-all"
    RELAY = "relay domain"
    DISABLED = "disabled"
    REFUSED = "refused"
    BUSY = "busy"
    FULL = "full"
    UNKNOWN = "unknown"
    FOREIGN = "foreign"


class Unavailable(Exception):
    """The source could not tell. The message is for the log, never for the wire."""


class Misconfigured(Exception):
    """The source was reached and can't serve what the configuration says (a missing table, ...).

    Only raised while a directory is opened. The message is one line and says what to do.
    """


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a lookup, for ``lookup --explain``: what was asked and what came back.

    Without a ``query`` it is no question but a conclusion: ``name`` is a sentence.
    """

    name: str
    query: str
    values: tuple[str, ...]
    rows: tuple[str, ...]
    origin: str
    milliseconds: float


Trace = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Status:
    """How a directory does: one sentence for people, and whether it can be asked now."""

    available: bool
    sentence: str


class Level(Enum):
    """How grave a finding of the doctor is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``check-user check``: ``advice`` says what to do (empty where all is well)."""

    level: Level
    subject: str
    message: str
    advice: str = ""


class Directory(Protocol):
    """A source of accounts. Every method runs on one event loop and never blocks it."""

    async def find(self, address: Address, trace: Trace | None = None) -> Presence:
        """Tell whether ``address`` is there.

        Raises Unavailable when it could not be told. Has no deadline of its own: the caller
        cancels, and a cancelled lookup frees what it holds without waiting.
        """
        ...

    async def find_domain(self, domain: Domain, trace: Trace | None = None) -> Presence:
        """Tell whether ``domain`` is one of ours: KNOWN or FOREIGN. Raises as :meth:`find`."""
        ...

    def status(self) -> Status:
        """Say how the source does, without asking it."""
        ...

    async def aclose(self) -> None:
        """Let go of every connection. Returns within two seconds whatever the source does."""
        ...


@runtime_checkable
class Prompt(Protocol):
    """A directory that can tell of some addresses without waiting."""

    def find_at_once(self, address: Address) -> Presence | None:
        """Tell what :meth:`Directory.find` would, or None where it has to be asked.

        Takes microseconds. Never raises.
        """
        ...
