"""The verdict: what a mail server is told about one recipient.

Three actions, named after qpsmtpd's return codes (qpsmtpd ``docs/hooks.md``):

=========  =======================================================================
DENY       refuse for good (SMTP 5xx): positive proof that the recipient isn't there
DENYSOFT   refuse for now (SMTP 4xx): we could not tell
DECLINED   no objection; the mail server's own rules decide
=========  =======================================================================

DECLINED says two things, so every verdict also carries a :class:`Reason`. Filters (policy, line,
milter) read ``action``; maps (socketmap, tcp_table) read ``reason``: a map that says "found" for a
foreign domain makes the mail server believe that the domain is its own.

The texts are constant per verdict but for the address (RFC 5321 4.2: a reply is for people too);
they name no host, no query and no exception. Those of refusals, and their codes, are a site's to
choose (:class:`Replies`). The longest text stays under 460 octets, so that a
whole reply line fits the 512 octets of RFC 5321 4.5.3.1.5. What went wrong in a fault is for the
log and has no field here, so that no protocol can put it on the wire.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Action(Enum):
    """What the mail server shall do; the value is the word of the ``line`` door."""

    DENY = "DENY"
    DENYSOFT = "DENYSOFT"
    DECLINED = "DECLINED"


class Reason(Enum):
    """Why; the value is the word in logs, in ``check-user lookup`` and after ``DECLINED``."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    FOREIGN = "foreign"
    DISABLED = "disabled"
    REFUSED = "refused"
    BUSY = "busy"
    FULL = "full"
    MALFORMED = "malformed"
    FAULT = "fault"


class Verdict(NamedTuple):
    """One answer. ``code`` is the SMTP reply code, ``enhanced`` the RFC 3463 status code.

    For DECLINED both are those of success (250, 2.1.5); no protocol sends them.
    """

    action: Action
    reason: Reason
    code: int
    enhanced: str
    text: str


MALFORMED = Verdict(Action.DENY, Reason.MALFORMED, 553, "5.1.3", "Malformed address")
FAULT = Verdict(Action.DENYSOFT, Reason.FAULT, 451, "4.4.3", "Internal error - try later")

DRY_RUN = Verdict(Action.DECLINED, Reason.KNOWN, 250, "2.1.5", "Dry run")
"""In place of a refusal that is only to be logged; a map that found nothing would refuse."""


def known(address: str) -> Verdict:
    """The recipient is there. ``address`` is printable ASCII (:meth:`Address.for_reply`)."""
    return Verdict(Action.DECLINED, Reason.KNOWN, 250, "2.1.5", f"Local address '{address}'")


def foreign(address: str) -> Verdict:
    """The recipient's domain is not one of ours."""
    return Verdict(Action.DECLINED, Reason.FOREIGN, 250, "2.1.5", f"Foreign address '{address}'")


class Reply(NamedTuple):
    """What a refusal says. In ``text`` the word ``{address}`` stands for the address.

    ``code`` is 5xx (DENY), 4xx (DENYSOFT) or 2xx (DECLINED: taken all the same).
    """

    code: int
    enhanced: str
    text: str

    def verdict(self, reason: Reason, address: str) -> Verdict:
        """The verdict for ``address``, printable ASCII. A 2xx is a known address's."""
        if self.code < 300:
            return known(address)
        action = Action.DENY if self.code >= 500 else Action.DENYSOFT
        return Verdict(action, reason, self.code, self.enhanced, self.say(address))

    def say(self, address: str) -> str:
        """The text, with ``address`` in it."""
        return self.text.replace("{address}", address)


class Replies(NamedTuple):
    """The replies to recipients that are refused, by reason. Codes: RFC 5321 4.2, RFC 3463 3.

    ``harvest`` is no verdict's: it stands for a 5xx to a client who has guessed too often, and who
    shall not learn which reason it has.
    """

    unknown: Reply = Reply(550, "5.1.1", "Address '{address}' doesn't exist on this server")
    disabled: Reply = Reply(550, "5.2.1", "Address '{address}' is disabled")
    refused: Reply = Reply(550, "5.7.1", "Address '{address}' takes no mail")
    busy: Reply = Reply(450, "4.2.1", "Address '{address}' is busy - try later")
    full: Reply = Reply(452, "4.2.2", "The mailbox of '{address}' is full - try later")
    harvest: Reply = Reply(450, "4.7.1", "Too many unknown recipients - try later")


def unknown(address: str) -> Verdict:
    """The domain is ours, and the recipient is not there."""
    return Replies().unknown.verdict(Reason.UNKNOWN, address)
