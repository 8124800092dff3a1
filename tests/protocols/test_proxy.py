"""The PROXY protocol's header, and the SMTP codec behind a proxy."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from check_user.protocols import Mark, ProtocolError
from check_user.protocols.proxy import HEADER_LIMIT, LINE_LIMIT, SIGNATURE, Header, read_header
from check_user.protocols.smtp import Connect, Question, Reply
from tests.protocols.smtp_door import CLIENT, SmtpDoor, codec, decide

V4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + b"\xdc\x04\x00\x19"
V6 = IPv6Address("2001:db8::7").packed + IPv6Address("2001:db8::1").packed + b"\xdc\x04\x00\x19"


def binary(command: int, family: int, rest: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(rest).to_bytes(2, "big") + rest


HEADERS = {
    b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n": "192.0.2.7",
    b"PROXY TCP6 2001:DB8:0::7 ::1 0 65535\r\n": "2001:db8::7",
    b"PROXY UNKNOWN\r\n": "",
    b"PROXY UNKNOWN ffff::1 ::1 65535 65535 and more\r\n": "",
    binary(0x21, 0x11, V4): "192.0.2.7",
    binary(0x21, 0x21, V6): "2001:db8::7",
    binary(0x21, 0x11, V4 + b"\x04\x00\x01x"): "192.0.2.7",
    binary(0x20, 0x11, V4): "",
    binary(0x20, 0x00, b""): "",
    binary(0x21, 0x00, b"anything"): "",
    binary(0x21, 0x12, V4): "",
    binary(0x21, 0x31, b"/" * 216): "",
    binary(0x21, 0x11, V4 + b"x" * (HEADER_LIMIT - 28)): "192.0.2.7",
}
BAD = {
    b"EHLO x\r\n": "no PROXY header",
    b"PROXY\r\n": "no PROXY header",
    b"proxy TCP4 192.0.2.7 198.51.100.1 56324 25\r\n": "no PROXY header",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\n": "more than 107",
    b"PROXY TCP4  192.0.2.7 198.51.100.1 56324 25\r\n": "isn't one",
    b"PROXY TCP4 192.0.2.07 198.51.100.1 56324 25\r\n": "address",
    b"PROXY TCP4 2001:db8::7 ::1 56324 25\r\n": "address",
    b"PROXY TCP6 192.0.2.7 198.51.100.1 56324 25\r\n": "address",
    b"PROXY TCP6 fe80::1%eth0 ::1 56324 25\r\n": "isn't one",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 056324 25\r\n": "isn't one",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n": "port",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 25\r\n": "isn't one",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 25\r\n": "isn't one",
    b"PROXY UDP4 192.0.2.7 198.51.100.1 1 25\r\n": "isn't one",
    b"PROXY UNKNOWN \0\r\n": "isn't one",
    SIGNATURE[:-1] + b"\r": "no PROXY header",
    binary(0x11, 0x11, V4): "version",
    binary(0x22, 0x11, V4): "version",
    binary(0x21, 0x41, V4): "version",
    binary(0x21, 0x13, V4): "version",
    binary(0x21, 0x11, V4[:-1]): "without its addresses",
    binary(0x21, 0x21, V4): "without its addresses",
    binary(0x21, 0x11, V4 + b"x" * (HEADER_LIMIT - 27)): "more than 4096",
}


@pytest.mark.fault("GW16")
@pytest.mark.parametrize("header", HEADERS)
def test_headers(header: bytes) -> None:
    """A header gives its client, and not before its last octet; what follows is left alone."""
    for end in range(len(header)):
        assert read_header(header[:end]) is None
    for rest in (b"", b"EHLO x\r\n"):
        assert read_header(header + rest) == Header(HEADERS[header], len(header))


@pytest.mark.fault("GW16")
@pytest.mark.parametrize("header", BAD)
def test_bad_headers(header: bytes) -> None:
    """What isn't a header is told as soon as it can be, whole or in pieces."""
    data = header + b"x" * LINE_LIMIT
    with pytest.raises(ProtocolError, match=BAD[header]):
        read_header(data)
    told = [error for end in range(len(data)) if (error := complaint(data[:end]))]
    assert told
    assert told == [told[0]] * len(told)
    assert BAD[header] in told[0]


def complaint(data: bytes) -> str:
    try:
        assert read_header(data) is None
    except ProtocolError as error:
        return str(error)
    return ""


@pytest.mark.fault("GW16")
@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
def test_line_limit(more: int, fits: bool) -> None:
    """A version 1 header has 107 octets at most."""
    begin = b"PROXY UNKNOWN "
    header = begin + b"x" * (LINE_LIMIT - len(begin) - 2 + more) + b"\r\n"
    if fits:
        assert read_header(header) == Header("", LINE_LIMIT)
    else:
        assert complaint(header[:LINE_LIMIT]) == complaint(header)
        assert "more than 107" in complaint(header)


@given(source=st.ip_addresses(), target=st.ip_addresses(), port=st.integers(0, 65535))
def test_any_address(
    source: IPv4Address | IPv6Address, target: IPv4Address | IPv6Address, port: int
) -> None:
    """Both versions carry every address; two families in one line are refused."""
    line = f"PROXY TCP{source.version} {source} {target} {port} 25\r\n".encode()
    if source.version == target.version:
        rest = source.packed + target.packed + b"\0\x01\0\x19"
        packed = binary(0x21, 0x11 if source.version == 4 else 0x21, rest)
        assert read_header(line) == Header(str(source), len(line))
        assert read_header(packed) == Header(str(source), len(packed))
    else:
        with pytest.raises(ProtocolError):
            read_header(line)


@pytest.mark.fault("GW16")
@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("size", [1, 1_000_000])
def test_smtp_behind_a_proxy(header: bytes, size: int) -> None:
    """The header is waited for, names the client, and isn't a command; then comes the greeting."""
    session = codec(proxied=True)
    door = SmtpDoor(session)
    assert (door.sent, door.said, door.mark) == (b"", [], Mark.NEED_REST)
    clients = []

    def note(question: Question) -> Reply | None:
        if isinstance(question, Connect):
            clients.append(question.client)
        return decide(question)

    door.decide = note
    for at in range(0, len(header), size):
        door.feed(header[at : at + size])
    assert door.sent == b"220 mx.example.org ESMTP\r\n"
    assert clients == [HEADERS[header] or CLIENT]
    assert door.ask(b"NOOP\r\n") == b"250 2.0.0 OK\r\n"


@pytest.mark.fault("GW16")
def test_no_header() -> None:
    """Where a header is due, a client that speaks SMTP gets no reply and no greeting."""
    door = SmtpDoor(codec(proxied=True))
    door.feed(b"EHLO x\r\n")
    assert (door.sent, door.error, door.closed) == (b"", "no PROXY header", True)


@pytest.mark.fault("GW16")
def test_unasked_header() -> None:
    """Where none is due, a header is no command, and changes nothing."""
    assert SmtpDoor(codec()).ask(next(iter(HEADERS))) == b"500 5.5.1 Command unknown\r\n"


@pytest.mark.fault("GW06", "GW16")
def test_early_talker_behind_a_proxy() -> None:
    """What a client sent before the greeting comes right after the header."""
    door = SmtpDoor(codec(proxied=True))
    assert door.ask(next(iter(HEADERS)) + b"EHLO x\r\n").startswith(b"554 5.5.1 ")
    assert (door.said, door.closed) == ([], True)


@pytest.mark.fault("GW16")
def test_half_a_header() -> None:
    """A connection that ends within the header is closed without a word."""
    door = SmtpDoor(codec(proxied=True))
    door.feed(b"PROXY TCP4")
    door.feed(b"")
    assert (door.sent, door.error, door.closed) == (b"", "", True)
