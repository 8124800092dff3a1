"""Domains: names in A-labels and U-labels, and address literals (RFC 5321 4.1.2 and 4.1.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

import idna

from check_user.address.text import (
    WHITE_SPACE,
    Malformed,
    MalformedError,
    decompose,
    fold,
    lower,
    require_characters,
    unique,
)

MAX_DOMAIN = 253
"""Octets, in A-labels and without a trailing dot (RFC 1035 2.3.4: 255 with lengths and root)."""

MAX_LABEL = 63
"""Octets of an A-label (RFC 1035 2.3.4); a U-label never has more characters than that."""

PLAIN_NAME = rf"(?:[A-Za-z0-9_-]{{1,{MAX_LABEL}}}+\.)*[A-Za-z0-9_-]{{1,{MAX_LABEL}}}+"
"""Names that are their own A-labels. No IGNORECASE here or elsewhere: it takes U+212A for k. No
possessive repeat of a group either: Python 3.11.2 lets one end within the group. Each of ours has
one way to match, so that going back is short."""

NAME = re.compile(PLAIN_NAME)
LABEL = re.compile(r"[A-Za-z0-9_-]++")
IPV6 = re.compile(r"[0-9A-Fa-f:.]++")
IPV4 = re.compile(r"[0-9.]++")
GENERAL = re.compile(r"(?:[A-Za-z0-9]|-(?!:))+:[!-Z^-~]++")
"""RFC 5321 4.1.3: General-address-literal, a tag that doesn't end in a hyphen and its content."""


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain; equal to another by ``key``, its A-labels in lower case.

    ``given`` is the domain as it was asked for, without a trailing dot.
    """

    key: str
    given: str = field(compare=False)

    @property
    def spellings(self) -> tuple[str, ...]:
        """Up to 4 forms to look for: A-labels, U-labels in NFC and in NFD, and as given."""
        if "xn--" not in self.key:
            return (self.key,) if self.given == self.key else (self.key, self.given)
        written = self._u_labels()
        return unique(self.key, written, decompose(written), self.given)

    @property
    def folded_spellings(self) -> tuple[str, ...]:
        """Up to 3 forms to look for where a column's ASCII letters were folded to lower case."""
        if "xn--" not in self.key:
            return (self.key,)
        written = self._u_labels()
        return unique(self.key, written, lower(decompose(written)))

    def _u_labels(self) -> str:
        if "xn--" not in self.key or self.key.startswith("["):
            return self.key
        return ".".join(map(_u_label, self.key.split(".")))


def parse_domain(text: str) -> Domain | Malformed:
    """Read a domain: a name of A-labels, U-labels or both, or an address literal. Never raises."""
    try:
        return read_domain(text)
    except MalformedError as error:
        return Malformed(str(error))


def canonical_domain(stored: str) -> str | None:
    """Give the key of a domain as a database holds it, or None when it isn't a domain.

    U-labels in capitals aren't valid (IDNA 2008 has no mapping), and whoever sends one is told so;
    but somebody who typed ``BÜCHER.example`` into a table meant the domain, whose users must not be
    refused.
    """
    stored = stored.strip(WHITE_SPACE)
    domain = parse_domain(stored)
    if isinstance(domain, Malformed) and not stored.isascii():
        domain = parse_domain(lower_letters(stored))
    return None if isinstance(domain, Malformed) else domain.key


def lower_letters(text: str) -> str:
    """Lower-case what isn't ASCII and doesn't become it (the Kelvin sign is no k)."""
    return "".join(letter if letter.lower().isascii() else letter.lower() for letter in text)


def read_domain(text: str) -> Domain:
    """Do the work of :func:`parse_domain`. Raises MalformedError."""
    if len(text) > MAX_DOMAIN + 1:
        raise MalformedError(f"domain over {MAX_DOMAIN} octets")
    if NAME.fullmatch(text):
        return _domain(text.lower(), text)
    require_characters(text)
    if text.startswith("["):
        return _domain(_literal(text), text)
    name = text.removesuffix(".")
    if not name:
        raise MalformedError("empty domain")
    return _domain(".".join(map(_a_label, name.split("."))), name)


def _domain(key: str, given: str) -> Domain:
    if len(key) > MAX_DOMAIN:
        raise MalformedError(f"domain over {MAX_DOMAIN} octets")
    return Domain(key, given)


def _a_label(label: str) -> str:
    if not label:
        raise MalformedError("empty domain label")
    label = fold(label)
    if len(label) > MAX_LABEL:
        raise MalformedError(f"domain label over {MAX_LABEL} octets")
    if label.isascii():
        if not LABEL.fullmatch(label):
            raise MalformedError("domain label with a forbidden character")
        return label
    try:
        return idna.alabel(label).decode()
    except UnicodeError:
        raise MalformedError("domain label not valid in IDNA 2008") from None


def _u_label(label: str) -> str:
    """Decode an A-label; a label that isn't a valid one stays as it is."""
    if not label.startswith("xn--"):
        return label
    try:
        return idna.ulabel(label)
    except UnicodeError:
        return label


def _literal(text: str) -> str:
    """Give an address literal's canonical text; RFC 5952 for IPv6, its section 5 included."""
    content = text[1:-1]
    tag, _, rest = content.partition(":")
    try:
        if not text.endswith("]"):
            raise MalformedError("unbalanced square brackets")
        if IPV4.fullmatch(content):
            return f"[{IPv4Address(content)}]"
        if lower(tag) == "ipv6" and IPV6.fullmatch(rest):
            return f"[ipv6:{_ipv6(IPv6Address(rest))}]"
    except ValueError:
        raise MalformedError("address literal not an IP address") from None
    if lower(tag) == "ipv6" or not GENERAL.fullmatch(content):
        raise MalformedError("address literal not valid")
    return f"[{lower(content)}]"


def _ipv6(address: IPv6Address) -> str:
    # str() of a mapped address changed between Python 3.11 and 3.13, and keys are stored.
    mapped = address.ipv4_mapped
    return f"::ffff:{mapped}" if mapped else str(address)
