"""The tcp_table codec: what the dialogs can't say."""

from __future__ import annotations

from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from check_user.protocols import Lookup
from check_user.protocols.tcp_table import REPLY_LIMIT, REQUEST_LIMIT, TcpTableCodec
from check_user.verdict import known, unknown
from tests.protocols.asking import play


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
@pytest.mark.parametrize("size", [1, 100_000])
def test_request_limit(more: int, fits: bool, size: int) -> None:
    """A request of the limit is taken, one octet more is not, in pieces as well as whole."""
    data = b"get " + b"a" * (REQUEST_LIMIT - len("get \n") + more) + b"\n"
    door = play("tcp_table", [data[at : at + size] for at in range(0, len(data), size)])
    assert (len(door.lookups), bool(door.error)) == (int(fits), not fits)


@pytest.mark.fault("PC15")
@given(key=st.binary(min_size=1, max_size=60).filter(lambda key: b"\0" not in key))
@example(key=b"@example.org")
def test_any_key_arrives(key: bytes) -> None:
    """Every key is decoded to what was encoded; only ``@domain`` isn't looked up."""
    door = play("tcp_table", [b"get " + quote_from_bytes(key).encode() + b"\n"])
    asked = [each.text.encode("utf-8", "surrogateescape") for each in door.lookups]
    assert asked == ([] if key.startswith(b"@") else [key])


@pytest.mark.fault("PC15")
@given(key=st.text("%04fFgz@a\0\r\t ", max_size=20))
@example(key="a%00@example.org")
@example(key="a%2")
def test_bad_encoding_is_never_a_no(key: str) -> None:
    """A key that isn't well encoded is answered with 400, and nothing else is asked or said."""
    door = play("tcp_table", [f"get {key}\n".encode()])
    broken = any(len(each) < 2 or not _is_hex(each[:2]) for each in key.split("%")[1:])
    if broken or "\0" in unquote_to_bytes(key).decode("latin-1"):
        assert door.sent.startswith(b"400 ")
        assert not door.lookups
    assert door.sent.count(b"\n") == 1


def _is_hex(two: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in two)


@pytest.mark.fault("PC08")
@given(key=st.binary(max_size=60))
def test_the_reply_is_the_key_encoded(key: bytes) -> None:
    """What is found comes back as it was asked, without blanks, controls or 8-bit in the line."""
    text = key.decode("utf-8", "surrogateescape")
    reply = TcpTableCodec().answer(Lookup(text), known("a@b"))
    value = reply.removeprefix(b"200 ").removesuffix(b"\n")
    assert all(33 <= octet < 127 for octet in value)
    assert unquote_to_bytes(value) == key


@pytest.mark.fault("PC17")
def test_reply_limit() -> None:
    """A reply has at most 4096 octets; what doesn't fit is 400, never a part of it."""
    codec = TcpTableCodec()
    for size in (1361, 1362, 8000):
        reply = codec.answer(Lookup(" " * size + "xx"), known("a@b"))
        assert len(reply) <= REPLY_LIMIT
        assert reply.startswith(b"200 " if 3 * size + 7 <= REPLY_LIMIT else b"400 ")


def test_percent_in_a_text() -> None:
    """The reply's texts are decoded by Postfix, too: a percent sign in one is encoded."""
    reply = TcpTableCodec().answer(Lookup("x"), unknown("50%off@example.org"))
    assert reply == b"500 \n"
    assert b"%" not in play("tcp_table", [b"get %\n"]).sent
