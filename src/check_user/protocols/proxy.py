r"""The PROXY protocol's header: which client a proxy in front of us speaks for.

HAProxy, doc/proxy-protocol.txt, versions 1 and 2. It is the first that comes on a connection,
before anything of the connection's own protocol in either direction:

    PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r\n
    PROXY UNKNOWN\r\n

    \r\n\r\n\0\r\nQUIT\n  \x21 \x11 \0\x0c  C0 00 02 01  C6 33 64 01  DC 04  00 19
    signature             |    |    length  from         to           ports
                          |    TCP over IPv4 (\x21: IPv6)
                          version 2, PROXY (\x20: LOCAL, the proxy speaks for itself)

The header gives no client where there is none (LOCAL, UNKNOWN, UNSPEC) or where it has no network
address (a unix socket), and where it is one of a datagram. Its checksum and other additions (TLV)
are passed over.

Limits: a version 1 header has at most 107 octets, its line end included, as the document says; a
version 2 header 4,096, where the document has none. Everything is taken strictly: one space, no
leading zeros, addresses of the family that was named. Whoever speaks anything else is not the proxy
that was listed: a ProtocolError, and the connection is closed.

Whom to believe is not decided here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from check_user.protocols import ProtocolError

LINE_LIMIT = 107
"""Octets of a version 1 header with its CRLF (proxy-protocol.txt 2.1)."""

HEADER_LIMIT = 4096
"""Octets of a version 2 header; our own bound, as the length may say 65,535."""

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FIXED = len(SIGNATURE) + 4
"""Octets before the addresses: signature, version and command, family, length."""

_PORT = rb"(?:0|[1-9][0-9]{0,4})"
_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: [ -~]*)?|(TCP4|TCP6) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) (%b) (%b))"
    % (_PORT, _PORT)
)
_ADDRESS_OCTETS = {0x0: 0, 0x1: 12, 0x2: 36, 0x3: 216}
"""How long the addresses of a family are: none, IPv4, IPv6, unix."""


@dataclass(frozen=True, slots=True)
class Header:
    """A header of ``octets`` octets; ``client`` is a network address, empty for none."""

    client: str
    octets: int


def read_header(data: bytes) -> Header | None:
    """Read the header at the beginning of ``data``; None while it isn't whole.

    Raises ProtocolError as soon as ``data`` can't become one.
    """
    if data[:6] == b"PROXY "[: len(data)]:
        return _read_line(data)
    if data[: len(SIGNATURE)] == SIGNATURE[: len(data)]:
        return _read_binary(data)
    raise ProtocolError("no PROXY header")


def _read_line(data: bytes) -> Header | None:
    """Read version 1."""
    end = data.find(b"\r\n", 0, LINE_LIMIT)
    if end < 0:
        if len(data) >= LINE_LIMIT:
            raise ProtocolError(f"a PROXY header of more than {LINE_LIMIT} octets")
        return None
    found = _LINE.fullmatch(data, 0, end)
    if not found:
        raise ProtocolError("a PROXY header that isn't one")
    family, *addresses, from_port, to_port = found.groups()
    if family is None:
        return Header("", end + 2)
    if int(from_port) > 65535 or int(to_port) > 65535:
        raise ProtocolError("a port over 65535 in a PROXY header")
    kind = IPv4Address if family == b"TCP4" else IPv6Address
    try:
        client, _ = [str(kind(address.decode())) for address in addresses]
    except AddressValueError:
        raise ProtocolError("an address in a PROXY header that isn't one") from None
    return Header(client, end + 2)


def _read_binary(data: bytes) -> Header | None:
    """Read version 2."""
    if len(data) < FIXED:
        return None
    version, command = divmod(data[12], 16)
    family, transport = divmod(data[13], 16)
    size = int.from_bytes(data[14:FIXED], "big")
    if version != 2 or command > 1 or family not in _ADDRESS_OCTETS or transport > 2:
        raise ProtocolError("a PROXY header of another version")
    if FIXED + size > HEADER_LIMIT:
        raise ProtocolError(f"a PROXY header of more than {HEADER_LIMIT} octets")
    if command == 1 and size < _ADDRESS_OCTETS[family]:
        raise ProtocolError("a PROXY header without its addresses")
    if len(data) < FIXED + size:
        return None
    return Header(_client(data) if command == 1 else "", FIXED + size)


def _client(data: bytes) -> str:
    """Give the address that a version 2 header begins with."""
    match data[13]:
        case 0x11:
            return str(IPv4Address(data[FIXED : FIXED + 4]))
        case 0x21:
            return str(IPv6Address(data[FIXED : FIXED + 16]))
    return ""
