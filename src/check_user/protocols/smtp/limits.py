"""What one client may do in one session, before it is told 421 and the session ends.

The counters go on over TLS and over any number of transactions, so that nothing resets them but
``useless``, which a message does: a client that brings mail may say RSET before each.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SmtpLimits:
    """Numbers of commands, but for ``message``."""

    recipients: int = 1000
    """Recipients of a transaction, then 452 (RFC 5321 4.5.3.1.8: at least 100). As many again may
    be asked for before each counts as an error, since an honest sender splits its list there."""
    errors: int = 20
    """Commands refused with 5xx, but for RCPT where it was asked about."""
    unknown: int = 20
    """Recipients that were asked about and refused with 5xx, or would have been but for their
    network's many guesses: a directory isn't harvested here."""
    useless: int = 100
    """EHLO, HELO, RSET, NOOP, VRFY and HELP since the last message that was taken."""
    commands: int = 100_000
    """Commands in all."""
    message: int = 52_428_800
    """Octets of a message, then 552. Of a refused one no more than twice as many are read."""


class Counters:
    """What a client did so far. The methods count one, and tell whether the limit is reached."""

    __slots__ = ("_errors", "_limits", "_unknown", "_useless", "commands")

    def __init__(self, limits: SmtpLimits) -> None:
        """Begin with nothing."""
        self._limits = limits
        self.commands = 0
        self._errors = self._unknown = self._useless = 0

    @property
    def is_spent(self) -> bool:
        """Whether the client had all the commands that one session has."""
        return self.commands >= self._limits.commands

    def error(self) -> bool:
        """Count an error."""
        self._errors += 1
        return self._errors >= self._limits.errors

    def unknown(self) -> bool:
        """Count a recipient who isn't there."""
        self._unknown += 1
        return self._unknown >= self._limits.unknown

    def useless(self) -> bool:
        """Count a command that brings no mail forward."""
        self._useless += 1
        return self._useless > self._limits.useless

    def message(self) -> None:
        """A message was taken."""
        self._useless = 0
