"""The ``socketmap`` door: Postfix's socketmap (socketmap_table(5)), which Sendmail speaks too.

Netstrings both ways, ``LENGTH:OCTETS,``. A request is a map's name, a space and the key; a reply is
a word, a space and data:

    > 27:recipients anna@example.org,
    < 19:OK anna@example.org,
    > 19:domains example.net,
    < 9:NOTFOUND ,

===============  ====================  ===================  =============  ===================
map              unknown, malformed    known                foreign        can't be told
===============  ====================  ===================  =============  ===================
``recipients``   ``NOTFOUND``          ``OK ADDRESS``       ``NOTFOUND``   ``TEMP TEXT``
``domains``      ``NOTFOUND``          ``OK DOMAIN``        ``NOTFOUND``   ``TEMP TEXT``
``access``       ``OK 550 5.1.1 TEXT`` ``OK DUNNO``         ``OK DUNNO``   ``TEMP TEXT``
===============  ====================  ===================  =============  ===================

ADDRESS and DOMAIN are the key as it was asked (never empty: an OK without data is a configuration
error to Postfix). ``access`` refuses with 553 5.1.3 what is malformed.

A mail server may also ask for parts of an address: ``example.org``, ``@example.org``, ``anna@``
(access(5), virtual(5)). Those are no recipients, so they are NOTFOUND without a lookup; else
``access`` would refuse a whole domain as one malformed address. ``recipients`` looks a bare name
up, since ``postmaster`` is a recipient (RFC 5321 4.5.1). Sendmail leaves the angle brackets around
the address; they are passed on.

A map that we don't have is ``TEMP unknown map``. PERM is never said: to Postfix it is a
configuration error (451 as well), and Sendmail lets the mail through.

Limits: a request has at most 10,000 octets, Postfix's own limit; a larger length is a ProtocolError
as soon as it is read. Netstrings are taken strictly (cr.yp.to/proto/netstrings.txt): no sign, no
leading zero, no space, the comma where it must be. Replies are far below Postfix's limit of
100,000.
"""

from __future__ import annotations

import re

from check_user.protocols import Kind, Lookup, Output, ProtocolError, one_line
from check_user.protocols.buffered import Buffered
from check_user.verdict import Action, Reason, Verdict

REQUEST_LIMIT = 10_000
"""Octets of a request within its netstring (Postfix 3.12: socketmap's query limit)."""

NAME_SHOWN = 64
"""Characters of an unknown map's name that the reply repeats."""

_LENGTH = re.compile(rb"(0|[1-9][0-9]{0,4}):")
_BEGUN_LENGTH = re.compile(rb"(?:0|[1-9][0-9]{0,4})?")


class SocketmapCodec(Buffered):
    """One connection of the ``socketmap`` door."""

    __slots__ = ()

    def answer(self, lookup: Lookup, verdict: Verdict) -> bytes:
        """Give the reply's netstring."""
        if verdict.action is Action.DENYSOFT:
            return _netstring(b"TEMP " + one_line(verdict.text).encode())
        if lookup.table == "access":
            return _netstring(_access(verdict))
        if verdict.reason is Reason.KNOWN:
            return _netstring(b"OK " + lookup.text.encode("utf-8", "surrogateescape"))
        return _NOT_FOUND.data

    def _take(self) -> Lookup | Output | None:
        data, start = self._data, self._start
        length = _LENGTH.match(data, start)
        if length is None:
            if not _BEGUN_LENGTH.fullmatch(data, start):
                raise ProtocolError("not a netstring")
            return None
        size = int(length[1])
        if size > REQUEST_LIMIT:
            raise ProtocolError(f"a request of more than {REQUEST_LIMIT} octets")
        body = length.end()
        end = body + size
        if len(data) <= end:
            return None
        if data[end] != ord(","):
            raise ProtocolError("a netstring that doesn't end where it says")
        name, space, key = data[body:end].partition(b" ")
        if not space:
            raise ProtocolError("a request without a map's name and a key")
        self._start = end + 1
        return _question(name, key)


def _question(name: bytes, key: bytes) -> Lookup | Output:
    """What a request asks for."""
    if name not in (b"recipients", b"domains", b"access"):
        shown = one_line(name.decode("utf-8", "replace"))[:NAME_SHOWN]
        return Output(_netstring(f"TEMP unknown map '{shown}'".encode()))
    table, text = name.decode(), key.decode("utf-8", "surrogateescape")
    if table == "domains":
        return Lookup(text, Kind.DOMAIN, table) if text else _NOT_FOUND
    if _is_part(text, bare_is_whole=table == "recipients"):
        return _NOT_FOUND
    return Lookup(text, Kind.RECIPIENT, table)


def _is_part(key: str, *, bare_is_whole: bool) -> bool:
    """Tell whether ``key`` is only a part of an address: ``@domain``, ``local@``, a bare name."""
    if key.startswith("<") and key.endswith(">"):
        key = key[1:-1]
    local, at, domain = key.rpartition("@")
    if key and not at:
        return not bare_is_whole
    return not (local and domain)


def _access(verdict: Verdict) -> bytes:
    """The table of the map ``access``: a result of access(5)."""
    if verdict.action is Action.DECLINED:
        return b"OK DUNNO"
    return f"OK {verdict.code} {verdict.enhanced} {one_line(verdict.text)}".encode()


def _netstring(data: bytes) -> bytes:
    return b"%d:%b," % (len(data), data)


_NOT_FOUND = Output(_netstring(b"NOTFOUND "))
