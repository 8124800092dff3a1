"""SMTP's server side: what a client asks of the gateway, and what it is told. No I/O.

A codec of the doors asks one kind of question; an SMTP session asks several, one after another::

    Connect                             220, or 4xx/5xx and the connection is closed
    Mail                                MAIL FROM, syntax and parameters checked
    Recipient, Recipient, ...           RCPT TO; up to 64 may wait for their replies
    Data                                DATA, or the first BDAT: 354 (250) goes on, 4xx/5xx refuses
                                        and ends the transaction (Abandon follows)
    Content, Content, ...               the message as it comes, dots unstuffed; each is answered
                                        with None once it has been taken (this is the back-pressure)
    End                                 the last octet has come: the reply of DATA or BDAT LAST
    Abandon                             the transaction is over without End; answered with None
    Secured                             TLS stands (RFC 3207); answered with None

What can be told without asking anybody is an :class:`~check_user.protocols.Output` of the codec's
own: EHLO, NOOP, VRFY, HELP, RSET's and QUIT's replies, errors of syntax and sequence, limits.

Each question is answered by ``codec.answer(question, reply)`` with a :class:`Reply`, or None where
none is due. A question whose answer decides what follows (Connect, Mail, Data, Content, End,
Abandon, Secured) stops the codec: until it is answered ``next_event`` gives ``Mark.NEED_ANSWER``.
DATA, RSET and the like also wait until every recipient before them has its reply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply (RFC 5321 4.2), ``enhanced`` an RFC 3463 code or empty; each line printable ASCII.

    ``in_place_of_5xx`` says that a recipient would be refused for good, and that the client shall
    not be told: it counts as a guess in the session all the same.
    """

    code: int
    enhanced: str
    lines: tuple[str, ...]
    in_place_of_5xx: bool = False

    @property
    def is_positive(self) -> bool:
        """Whether it says yes, or "go on" (2xx, 3xx)."""
        return self.code < 400


@dataclass(frozen=True, slots=True)
class Connect:
    """A client is here; ``client`` is its network address (PROXY's, where one is believed)."""

    client: str


@dataclass(frozen=True, slots=True)
class Mail:
    """MAIL FROM. ``sender`` is the path without brackets, empty for the null reverse-path.

    ``size`` is what SIZE declared, in octets (0: nothing); ``body`` is ``7BIT``, ``8BITMIME`` or
    empty; ``dsn`` are the parameters that a next hop with DSN is given as they are (``RET=HDRS``,
    ``ENVID=...``). ``hello`` is what the client called itself; ``protocol`` the word for the
    Received header (RFC 3848, RFC 6531: ``SMTP``, ``ESMTP``, ``ESMTPS``, ``UTF8SMTP``, ...).
    """

    sender: str
    size: int
    body: str
    utf8: bool
    dsn: tuple[str, ...]
    hello: str
    protocol: str
    client: str


class Recipient(NamedTuple):
    """RCPT TO. ``text`` is the path as it was sent, with brackets; ``dsn`` NOTIFY= and ORCPT=."""

    text: str
    dsn: tuple[str, ...]
    client: str


@dataclass(frozen=True, slots=True)
class Data:
    """The message comes next: at once in chunks (BDAT) if ``chunked``, else after 354.

    If ``chunked``, yes isn't said to the client, but with each chunk that has come; no is said when
    the chunk was read (RFC 3030 2).
    """

    chunked: bool


@dataclass(frozen=True, slots=True)
class Content:
    """A piece of the message: lines end with CRLF only, and no piece ends between CR and LF."""

    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The message is whole; its octets, as they were given in Content."""

    octets: int


@dataclass(frozen=True, slots=True)
class Abandon:
    """The transaction ends here; what was taken of it must not be delivered."""


@dataclass(frozen=True, slots=True)
class Secured:
    """The connection is encrypted now."""


Question: TypeAlias = Connect | Mail | Recipient | Data | Content | End | Abandon | Secured
