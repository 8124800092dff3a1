"""Mailboxes: local part and domain, and the path around them (RFC 5321 4.1.2, RFC 6531 3.3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from check_user.address.domain import (
    PLAIN_NAME,
    Domain,
    canonical_domain,
    lower_letters,
    read_domain,
)
from check_user.address.text import (
    WHITE_SPACE,
    Malformed,
    MalformedError,
    compose,
    decompose,
    fold,
    lower,
    printable,
    require_text,
    unique,
)

MAX_LOCAL = 64
"""Octets of a local part as it is written, quotes included (RFC 5321 4.5.3.1.1). That is what a
mail server must take, not what it may take at most: :func:`parse` can be told a larger limit."""

MAX_ADDRESS = 254
"""Octets of a path without its angle brackets (RFC 5321 4.5.3.1.3 allows 256 with them)."""

NEVER_SPLIT = frozenset({"postmaster", "mailer-daemon", "double-bounce"})
"""Names of the mail system itself, whole whatever the delimiters (Postfix, split_addr)."""

ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++"
PLAIN = re.compile(rf"({ATOM}(?:\.{ATOM})*)@({PLAIN_NAME})")

ATOM_8 = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]++"
DOT_STRING = re.compile(rf"{ATOM_8}(?:\.{ATOM_8})*")
QUOTED_STRING = re.compile(r'"(?:[^"\\]|\\[ -~])*"')
QUOTED_PAIR = re.compile(r"\\(.)")
TO_ESCAPE = re.compile(r'(["\\])')

ROUTING = re.compile("[%!@]")
"""What a mail server may split a name at that has no domain (Postfix: allow_percent_hack and
swap_bangpath, both on by default, and resolve_dequoted_address)."""

NO_LOCAL_PART = "local part neither a dot-string nor a quoted string"


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox; equal to another by ``key``, the canonical text (at most 254 octets).

    ``local`` is what the local part says, without quotes and folded. ``written`` is the local part
    as it was asked for, with its quotes. Where a site ``keeps_case``, neither ``key`` nor ``local``
    have the local part folded.
    """

    key: str
    local: str = field(compare=False)
    domain: Domain = field(compare=False)
    written: str = field(compare=False)
    keeps_case: bool = field(default=False, compare=False)

    @property
    def as_given(self) -> tuple[str, str]:
        """The local part without quotes, and the domain, in the spelling that was asked for."""
        return _content(self.written), self.domain.given

    @property
    def is_postmaster(self) -> bool:
        """Whether this is the mailbox that every domain must have, in any case (RFC 5321 4.5.1)."""
        return lower(self.local) == "postmaster"

    @property
    def spellings(self) -> tuple[tuple[str, str], ...]:
        """The (local part, domain) pairs to look for by equality: 1 to 24, the canonical first.

        Local parts without quotes (canonical, as given, NFD), with quotes where they need them, and
        the very text that was asked for.
        """
        if self.written == self.local and self.local.isascii():
            locals_: tuple[str, ...] = (self.local,)
        else:
            plain = (self.local, decompose(self.local))
            quoted = map(_write, plain)
            locals_ = unique(self.local, self.as_given[0], *plain, *quoted, self.written)
        return tuple((local, domain) for local in locals_ for domain in self.domain.spellings)

    @property
    def folded_spellings(self) -> tuple[tuple[str, str], ...]:
        """The pairs to look for where a column was folded to lower case: 1 to 24.

        Some databases fold ASCII alone (SQLite), most fold every letter; a row that either fold
        finds has both forms here, and its key then tells whether it is this address.
        """
        domains = self.domain.folded_spellings
        if self.local.isascii() and self.key[0] != '"':
            local = self.local.lower()
            return tuple([(local, domain) for domain in domains])
        folded = fold(self.local)
        locals_: tuple[str, ...] = (folded,)
        if not folded.isascii():
            both = (folded, folded.lower())
            locals_ = unique(*both, *(lower(decompose(local)) for local in both))
        locals_ = unique(*locals_, *map(_write, locals_))
        return tuple((local, domain) for local in locals_ for domain in domains)

    def for_reply(self) -> str:
        r"""Give the address in printable ASCII, for a reply's text: ``zo\x{EB}@x.example``.

        At most 414 octets where a local part has its usual limit: 32 characters of two octets take
        seven each, as ``\x{153}``.
        """
        return printable(self.key)

    def without_extension(self, delimiters: str) -> Iterator[Address]:
        """Give the addresses before each extension, the longest first.

        With ``+``: ``a+b+c@d`` gives ``a+b@d`` and ``a@d``. ``delimiters`` is a set of characters.
        """
        if lower(self.local) in NEVER_SPLIT:
            return
        for end in range(len(self.local) - 1, 0, -1):
            if self.local[end] in delimiters and (base := self.part(0, end)):
                yield base

    def part(self, begin: int, end: int) -> Address | None:
        """Give the address whose local part is ``local[begin:end]``, as far as it is one."""
        given = self.as_given[0]
        spelling = given if lower(given) == lower(self.local) else self.local
        written = _write(spelling[begin:end])
        with suppress(MalformedError):  # it may be empty, or too long with the quotes it needs
            return _address(written, self.domain, keeps_case=self.keeps_case)
        return None


@dataclass(frozen=True, slots=True)
class Unqualified:
    """A name without a domain: ``postmaster``, ``root``. ``key`` and ``local`` as in Address."""

    key: str
    local: str = field(compare=False)

    @property
    def is_postmaster(self) -> bool:
        """Whether this is the name that every mail server must accept (RFC 5321 4.5.1)."""
        return self.local == "postmaster"

    def for_reply(self) -> str:
        """Give the name in printable ASCII, for a reply's text."""
        return printable(self.key)


def parse(
    text: str, max_local: int = MAX_LOCAL, *, keeps_case: bool = False
) -> Address | Unqualified | Malformed:
    """Read an RFC 5321 path, with or without angle brackets. Never raises.

    ``text`` was decoded from UTF-8 with ``surrogateescape``. ``max_local`` is the limit of the
    local part, in octets; ``keeps_case`` says that case counts in it.
    """
    bare = text[1:-1] if text[:1] == "<" and text[-1:] == ">" else text
    plain = _match_plain(bare, max_local)
    if plain:
        written, name = plain.groups()
        domain = Domain(name.lower(), name)
        if keeps_case:
            return Address(f"{written}@{domain.key}", written, domain, written, keeps_case=True)
        return Address(bare.lower(), written.lower(), domain, written)
    try:
        return _read_path(text, max_local, keeps_case=keeps_case)
    except MalformedError as error:
        return Malformed(str(error))


def canonical(stored: str, *, keeps_case: bool = False) -> str | None:
    """Give the key of an address as a database holds it, or None when it isn't an address.

    White space around it doesn't count (a CHAR column pads); a path's brackets and source route
    have no business in a database.
    """
    stored = stored.strip(WHITE_SPACE)
    if _match_plain(stored):
        return _plain_key(stored, keeps_case=keeps_case)
    try:
        mailbox = _read_mailbox(stored, keeps_case=keeps_case)
    except MalformedError:
        return _canonical_capitals(stored, keeps_case=keeps_case)
    return mailbox.key if isinstance(mailbox, Address) else None


def _plain_key(plain: str, *, keeps_case: bool) -> str:
    """Give the key of an address of atoms and ASCII labels."""
    if not keeps_case:
        return plain.lower()
    local, at, domain = plain.partition("@")
    return local + at + domain.lower()


def _canonical_capitals(stored: str, *, keeps_case: bool) -> str | None:
    """Read an address whose domain has U-labels in capitals; see :func:`canonical_domain`."""
    local, _, domain = stored.rpartition("@")
    lowered = lower_letters(domain)
    same = lowered == domain
    return None if same else canonical(f"{local}@{lowered}", keeps_case=keeps_case)


def canonical_pair(local: str, domain: str, *, keeps_case: bool = False) -> str | None:
    """Give the key of an address that a database holds in two columns, or None.

    ``local`` may be written as in an address (``"a b"``) or be its bare content (``a b``).
    """
    local, domain = local.strip(WHITE_SPACE), domain.strip(WHITE_SPACE)
    if _match_plain(stored := f"{local}@{domain}"):
        return _plain_key(stored, keeps_case=keeps_case)
    domain_key = canonical_domain(domain)
    if domain_key is None:
        return None
    written = local if QUOTED_STRING.fullmatch(local) else _write(local)
    try:
        return _address(written, Domain(domain_key, domain), keeps_case=keeps_case).key
    except MalformedError:
        return None


def _match_plain(text: str, max_local: int = MAX_LOCAL) -> re.Match[str] | None:
    """Match an address of atoms and ASCII labels, which is canonical once it is in lower case."""
    if len(text) > MAX_ADDRESS:
        return None
    plain = PLAIN.fullmatch(text)
    return plain if plain and plain.end(1) <= max_local else None


def _read_path(text: str, max_local: int, *, keeps_case: bool) -> Address | Unqualified:
    if text.startswith("<"):
        if not text.endswith(">"):
            raise MalformedError("unbalanced angle brackets")
        text = text[1:-1]
    require_text(text, MAX_ADDRESS, "address")
    if not text.startswith("@"):
        return _read_mailbox(text, max_local, keeps_case=keeps_case)
    mailbox = _read_mailbox(_drop_route(text), max_local, keeps_case=keeps_case)
    if isinstance(mailbox, Unqualified):
        raise MalformedError("source route to a name without a domain")
    return mailbox


def _drop_route(text: str) -> str:
    """Take ``@relay1,@relay2:`` away (RFC 5321 4.1.2, A-d-l, and 3.6.1)."""
    route, colon, mailbox = text.partition(":")
    if not colon:
        raise MalformedError("empty local part")
    for relay in route.split(","):
        if not relay.startswith("@") or relay.startswith("@["):
            raise MalformedError("source route not valid")
        read_domain(relay[1:])
    return mailbox


def _read_mailbox(
    text: str, max_local: int = MAX_LOCAL, *, keeps_case: bool
) -> Address | Unqualified:
    """Read a local part with or without a domain. Raises MalformedError."""
    if not text or text.startswith("@"):
        raise MalformedError("empty local part")
    found = QUOTED_STRING.match(text) or DOT_STRING.match(text)
    if not found:
        raise MalformedError(NO_LOCAL_PART)
    written, rest = found[0], text[found.end() :]
    if rest.startswith("@"):
        return _address(written, read_domain(rest[1:]), max_local, keeps_case=keeps_case)
    if rest:
        raise MalformedError(NO_LOCAL_PART)
    local, key = _local_part(written, max_local, fold)
    if ROUTING.search(local):
        raise MalformedError("a route in a name without a domain")
    return Unqualified(key, local)


def _address(
    written: str, domain: Domain, max_local: int = MAX_LOCAL, *, keeps_case: bool
) -> Address:
    local, local_key = _local_part(written, max_local, compose if keeps_case else fold)
    key = f"{local_key}@{domain.key}"
    require_text(key, MAX_ADDRESS, "address")
    return Address(key, local, domain, written, keeps_case)


def _local_part(written: str, max_local: int, canon: Callable[[str], str]) -> tuple[str, str]:
    """Give what a written local part says, in the form ``canon`` gives it, and how to write it."""
    require_text(written, max_local, "local part")
    local = canon(_content(written))
    if not local:
        raise MalformedError("empty local part")
    key = _write(local)
    require_text(key, max_local, "local part")
    return local, key


def _content(written: str) -> str:
    """Take quotes and backslashes away."""
    return QUOTED_PAIR.sub(r"\1", written[1:-1]) if written.startswith('"') else written


def _write(content: str) -> str:
    """Write a local part that says ``content``: quoted where it must be, with minimal escapes."""
    if DOT_STRING.fullmatch(content):
        return content
    escaped = TO_ESCAPE.sub(r"\\\1", content)
    return f'"{escaped}"'
