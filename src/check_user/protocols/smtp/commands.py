r"""What stands in a command line after its verb: paths and ESMTP parameters, chunk sizes.

    MAIL FROM:<anna@example.net> SIZE=1200 BODY=8BITMIME\r\n
    RCPT TO:<"john doe"@example.org> NOTIFY=NEVER\r\n
    BDAT 1200 LAST\r\n

A recipient's path is cut out and not judged: who checks the recipient parses it. Only what can't be
cut, and the empty path, is refused here.

A sender's path is held to a loose syntax: ``a..b@example.net``, local parts of more than 64 octets
and odd domain names send real mail, and its recipients are there. The next hop has the last word.
Source routes are taken away (RFC 5321 3.6.1).

A path without its angle brackets is taken, and given them, as Postfix does it
(``strict_rfc821_envelopes = no``), and spaces may stand before it: devices that send so have users
behind them who exist. It ends with the first space outside of quotes.

Keywords are known in any case. A parameter that isn't offered is 555 (RFC 5321 4.1.1.11); one that
is offered and has a wrong value, or is there twice, is 501.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from check_user.protocols.smtp import replies
from check_user.protocols.smtp.extensions import Extensions

CHUNK_DIGITS = 15
"""Digits of a chunk's size: more octets than these can say is no size but an attack."""

# In all of these alternatives begin with different characters, so that nothing is tried twice.
_QUOTED = rb'"(?:[^"\\]++|\\.)*"'
_CUT = re.compile(
    rb"[ ]*(?: (<(?:[^\">]++|%b)*>) | ((?:[^ \"<>]++|%b)+) ) (?:[ ]+(.*))?" % (_QUOTED, _QUOTED),
    re.VERBOSE | re.DOTALL,
)
_CONTROLS = r"\x00-\x1f\x7f-\x9f"
_ATOMS = rf'[^{_CONTROLS} "<>()\[\]\\,;:@]++'
_LOCAL = rf'(?: {_ATOMS} | "(?:[^{_CONTROLS}"\\]++|\\[ -~])*" )'
_DOMAIN = rf"(?: {_ATOMS} | \[[^{_CONTROLS} <>\[\]\\]++\] )"
_SENDER = re.compile(
    rf"(?: @{_ATOMS} (?:,@{_ATOMS})* : )? ( {_LOCAL} (?: @{_DOMAIN} )? )?", re.VERBOSE
)
_CHUNK = re.compile(rb"[ ]*([0-9]{1,%d})(?:[ ]+(LAST))?[ ]*" % CHUNK_DIGITS, re.IGNORECASE)

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")

_SIZE = re.compile(rb"[0-9]{1,20}")
_BODY = re.compile(rb"7BIT|8BITMIME", re.IGNORECASE)
_NOTHING = re.compile(rb"")
_RET = re.compile(rb"FULL|HDRS", re.IGNORECASE)
_ENVID = re.compile(rb"[!-~]{1,100}")
_EVENT = rb"(?:SUCCESS|FAILURE|DELAY)"
_NOTIFY = re.compile(rb"NEVER|%b(?:,%b){0,2}" % (_EVENT, _EVENT), re.IGNORECASE)
_ORCPT = re.compile(rb"[A-Za-z0-9-]{1,64};[!-~\x80-\xff]{1,500}")

Syntax = Mapping[bytes, re.Pattern[bytes]]


class Refused(Exception):
    """A command that isn't taken; ``reply`` is what its client is told."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class MailArgument:
    """What MAIL says; the fields are those of :class:`~check_user.protocols.smtp.Mail`."""

    sender: str
    size: int
    body: str
    utf8: bool
    dsn: tuple[str, ...]


def read_mail(argument: bytes, offered: Extensions) -> MailArgument:
    """Read ``FROM:<path> parameters``. Raises Refused."""
    path, rest = _cut(argument, b"FROM:", replies.MAIL_WANTED, replies.BAD_SENDER)
    given = _parameters(rest, _mail_syntax(offered))
    size = int(given.get(b"SIZE", b"0"))
    if offered.size and size > offered.size:
        raise Refused(replies.TOO_BIG)
    return MailArgument(
        sender=_sender(path, utf8=b"SMTPUTF8" in given),
        size=size,
        body=given.get(b"BODY", b"").decode().upper(),
        utf8=b"SMTPUTF8" in given,
        dsn=_dsn(given, b"RET", b"ENVID"),
    )


def read_recipient(
    argument: bytes, offered: Extensions, *, utf8: bool
) -> tuple[str, tuple[str, ...]]:
    """Read ``TO:<path> parameters``: the path with its brackets, and those for DSN. Raises Refused.

    ``utf8`` says whether the transaction is an internationalized one.
    """
    path, rest = _cut(argument, b"TO:", replies.RCPT_WANTED, replies.BAD_RECIPIENT)
    if path == b"<>":
        raise Refused(replies.BAD_RECIPIENT)
    if not utf8 and not path.isascii():
        raise Refused(replies.NOT_ASCII)
    given = _parameters(rest, _RCPT_SYNTAX if offered.dsn else {})
    if not utf8 and not rest.isascii():
        raise Refused(replies.BAD_VALUE)
    return path.decode("utf-8", "surrogateescape"), _dsn(given, b"NOTIFY", b"ORCPT")


def read_chunk(argument: bytes) -> tuple[int, bool] | None:
    """Read ``size [LAST]``: how many octets follow, and whether they end the message.

    None for anything else: where the chunk ends, nobody knows.
    """
    found = _CHUNK.fullmatch(argument)
    return (int(found[1]), found[2] is not None) if found else None


def read_name(argument: bytes) -> str:
    """Read what a client calls itself: nearly anything, since many of them lie. Raises Refused."""
    name = argument.strip(b" ")
    if not name or _CONTROL.search(name):
        raise Refused(replies.NAME_WANTED)
    return name.decode("utf-8", "surrogateescape")


def require_none(argument: bytes) -> None:
    """Refuse an argument to a command that has none."""
    if argument.strip(b" "):
        raise Refused(replies.NO_ARGUMENT)


def _cut(argument: bytes, keyword: bytes, wanted: bytes, bad: bytes) -> tuple[bytes, bytes]:
    """Cut a path, with its brackets, off the parameters."""
    if argument[: len(keyword)].upper() != keyword:
        raise Refused(wanted)
    found = _CUT.fullmatch(argument.rstrip(b" "), len(keyword))
    if not found:
        raise Refused(bad)
    bracketed, bare, rest = found.groups()
    return bracketed or b"<%b>" % bare, rest or b""


def _sender(path: bytes, *, utf8: bool) -> str:
    """Judge a sender's path, and take its brackets and its source route away."""
    if not utf8 and not path.isascii():
        raise Refused(replies.NOT_ASCII)
    try:
        text = path[1:-1].decode()
    except UnicodeDecodeError:
        raise Refused(replies.NOT_TEXT) from None
    found = _SENDER.fullmatch(text)
    if not found or (text and not found[1]):
        raise Refused(replies.BAD_SENDER)
    return found[1] or ""


def _parameters(text: bytes, syntax: Syntax) -> dict[bytes, bytes]:
    """Read ``KEYWORD=value KEYWORD ...``, all of which ``syntax`` must know."""
    given: dict[bytes, bytes] = {}
    for word in text.split():
        name, equals, value = word.partition(b"=")
        name = name.upper()
        pattern = syntax.get(name)
        if pattern is None:
            raise Refused(replies.UNKNOWN_PARAMETER)
        if not pattern.fullmatch(value) or bool(equals) is (pattern is _NOTHING):
            raise Refused(replies.BAD_VALUE)
        if name in given:
            raise Refused(replies.TWICE)
        given[name] = value
    return given


def _dsn(given: Mapping[bytes, bytes], *names: bytes) -> tuple[str, ...]:
    """Give the parameters that are only passed on, as they are."""
    try:
        return tuple(f"{name.decode()}={given[name].decode()}" for name in names if name in given)
    except UnicodeDecodeError:
        raise Refused(replies.NOT_TEXT) from None


@lru_cache(maxsize=16)
def _mail_syntax(offered: Extensions) -> Syntax:
    """Which parameters MAIL may have."""
    syntax: dict[bytes, re.Pattern[bytes]] = {}
    if offered.size is not None:
        syntax[b"SIZE"] = _SIZE
    if offered.eight_bit:
        syntax[b"BODY"] = _BODY
    if offered.utf8:
        syntax[b"SMTPUTF8"] = _NOTHING
    if offered.dsn:
        syntax |= {b"RET": _RET, b"ENVID": _ENVID}
    return syntax


_RCPT_SYNTAX: Syntax = {b"NOTIFY": _NOTIFY, b"ORCPT": _ORCPT}
