r"""The address: one text in, one canonical key out. Pure: no I/O, no state, no caches.

A mail server hands over the path of a RCPT command (RFC 5321 4.1.2, RFC 6531 3.3), with or without
its angle brackets, decoded from UTF-8 with ``surrogateescape``. :func:`parse` tells what it is::

    Anna@Example.ORG                 Address      key  anna@example.org
    <@relay.example:anna@x.example>  Address      key  anna@x.example      (source route dropped)
    "anna"@x.example                 Address      key  anna@x.example      (needless quotes)
    "a\ b"@x.example                 Address      key  "a b"@x.example     (minimal escapes)
    zoë@bücher.example               Address      key  zoë@xn--bcher-kva.example
    anna@[IPv6:2001:DB8:0::1]        Address      key  anna@[ipv6:2001:db8::1]
    Postmaster                       Unqualified  key  postmaster
    user%x.example                   Malformed    a route in place of a domain
    a..b@x.example                   Malformed    a definite answer, never an exception

Equal addresses have equal keys, and the key of a key is itself. Two addresses are equal when

- their local parts are, after quotes and backslashes are taken away, Unicode's NFC is applied and
  the 26 ASCII letters are folded to lower case. No other letter is folded: ``str.lower`` would make
  ``k`` of the Kelvin sign U+212A, and a stranger's address would become Karl's. For the same reason
  the three code points whose NFC is an ASCII character (U+037E, U+1FEF, U+212A) stay as they are.
  Where ``keeps_case`` is asked for, the local part isn't folded at all;
- and their domains have the same A-labels (RFC 5890), in lower case and without the one trailing
  dot that a name may have. U-labels are encoded by strict IDNA 2008: nothing is mapped, so that
  ``straße.example`` isn't ``strasse.example``, and ``x。example``, ``℀.example``, an emoji, or a
  non-ASCII capital is malformed. Labels that begin with ``xn--`` are taken as they stand.

Malformed, whatever a database holds:

- control characters (C0, DEL, C1) and invalid UTF-8;
- a path over 254 octets, not counting its angle brackets (RFC 5321 4.5.3.1.3: 256 with them), a
  local part over 64 with its quotes (4.5.3.1.1; a caller may allow more): both as asked and in the
  key. A domain over 253 octets of A-labels, a label over 63 (RFC 1035 2.3.4);
- a name without a domain that holds ``%``, ``!`` or ``@``: a mail server that takes it for a route
  would find a domain of ours in it, behind the check's back;
- an empty local part (``""`` too), domain or label; a dot at either end of an unquoted local part;
- unquoted specials or spaces, comments, folding white space, half-quoted local parts (``a."b"@x``:
  RFC 5322's obsolete forms);
- a label with other ASCII than letters, digits, ``-`` and ``_``. Hyphens may stand anywhere and the
  underscore is allowed, since domains in use have them;
- a domain literal that is no IPv4 address (leading zeros are ambiguous), no ``IPv6:`` address and
  no ``tag:content``. The last is checked by syntax alone.

A database holds addresses in spellings of its own. :attr:`Address.spellings` and
:attr:`Address.folded_spellings` say under which a row may be found through an index, and
:func:`canonical`, :func:`canonical_pair` and :func:`canonical_domain` give the key of what was
found. A spelling only finds candidates; keys alone decide.

Work is bounded before it is done: a text over 254 characters is refused by its length, and no
regular expression here backtracks.

It doesn't know which domains are ours, what is an alias, or whether anybody is there.
"""

from check_user.address.bounce import is_srs, without_tag
from check_user.address.domain import Domain, canonical_domain, parse_domain
from check_user.address.mailbox import (
    MAX_ADDRESS,
    MAX_LOCAL,
    Address,
    Unqualified,
    canonical,
    canonical_pair,
    parse,
)
from check_user.address.text import Malformed

__all__ = [
    "MAX_ADDRESS",
    "MAX_LOCAL",
    "Address",
    "Domain",
    "Malformed",
    "Unqualified",
    "canonical",
    "canonical_domain",
    "canonical_pair",
    "is_srs",
    "parse",
    "parse_domain",
    "without_tag",
]
