"""Service extensions: what an SMTP server takes beyond RFC 821, and how it says so.

    250-mx.example.org
    250-PIPELINING
    250-ENHANCEDSTATUSCODES
    250-SIZE 52428800
    250-8BITMIME
    250-SMTPUTF8
    250-DSN
    250-CHUNKING
    250-STARTTLS
    250 LIMITS RCPTMAX=1000

====================  =====================================================================
PIPELINING            RFC 2920: always, since answers keep their order
ENHANCEDSTATUSCODES   RFC 2034: always
SIZE                  RFC 1870: always; the smaller of our own limit and the next hop's
8BITMIME              RFC 6152: where the next hop has it
SMTPUTF8              RFC 6531: where the next hop has it and 8BITMIME, which it must have for it
DSN                   RFC 3461: where the next hop has it
CHUNKING              RFC 3030: where it is wanted; BINARYMIME, which may come with it, never
STARTTLS              RFC 3207: where there is a certificate, and no TLS yet
LIMITS                RFC 9422: how many recipients a transaction may have
====================  =====================================================================
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extensions:
    """What a server takes: the keywords of its EHLO reply that concern a mail.

    ``size`` is RFC 1870's: octets of the largest message, 0 where there is no fixed limit, None
    where the extension isn't there.
    """

    size: int | None = None
    eight_bit: bool = False
    utf8: bool = False
    dsn: bool = False
    chunking: bool = False
    pipelining: bool = False


NONE = Extensions()
"""What a client that said HELO may use."""


def offered(next_hop: Extensions, *, message: int) -> Extensions:
    """Give what we take when the next hop takes that and we ``message`` octets at most."""
    return Extensions(
        size=min(next_hop.size or message, message),
        eight_bit=next_hop.eight_bit,
        utf8=next_hop.utf8 and next_hop.eight_bit,
        dsn=next_hop.dsn,
        chunking=next_hop.chunking,
        pipelining=True,
    )


def keywords(extensions: Extensions, *, starttls: bool, recipients: int) -> list[str]:
    """Give the lines of the reply to EHLO after the first."""
    lines = {
        "PIPELINING": extensions.pipelining,
        "ENHANCEDSTATUSCODES": True,
        f"SIZE {extensions.size}": extensions.size is not None,
        "8BITMIME": extensions.eight_bit,
        "SMTPUTF8": extensions.utf8,
        "DSN": extensions.dsn,
        "CHUNKING": extensions.chunking,
        "STARTTLS": starttls,
        f"LIMITS RCPTMAX={recipients}": True,
    }
    return [line for line, is_offered in lines.items() if is_offered]
