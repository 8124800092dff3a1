"""The socketmap codec: what the dialogs can't say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from check_user.protocols.socketmap import REQUEST_LIMIT
from tests.protocols.asking import play


def netstring(data: bytes) -> bytes:
    return b"%d:%b," % (len(data), data)


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
def test_request_limit(more: int, fits: bool) -> None:
    """A request of the limit is taken, one octet more is not."""
    key = b"a@" + b"b" * (REQUEST_LIMIT - len("recipients a@") + more)
    door = play("socketmap", [netstring(b"recipients " + key)])
    assert (len(door.lookups), bool(door.error)) == (int(fits), not fits)


@pytest.mark.fault("PC06", "PC14")
@pytest.mark.parametrize("length", [b"10001:", b"99999:", b"100000", b"2147483647", b"9" * 21])
def test_refused_before_the_body(length: bytes) -> None:
    """A length that is too large is refused when it is read, not when the body is there."""
    assert play("socketmap", [length]).error
    assert play("socketmap", [length[at : at + 1] for at in range(len(length))]).error


@given(name=st.binary(max_size=40), key=st.binary(max_size=40))
def test_no_map_says_perm(name: bytes, key: bytes) -> None:
    """Whatever is asked for, the answer is never PERM, and OK always has data."""
    door = play("socketmap", [netstring(name + b" " + key)])
    word, _, data = door.sent.partition(b":")[2].removesuffix(b",").partition(b" ")
    assert word in (b"OK", b"NOTFOUND", b"TEMP")
    assert data or word == b"NOTFOUND"


@given(key=st.binary(max_size=30))
def test_access_refuses_only_whole_addresses(key: bytes) -> None:
    """The map ``access`` has no opinion about a part of an address."""
    door = play("socketmap", [netstring(b"access " + key)])
    local, _, domain = key.rpartition(b"@")
    if not local or not domain:
        assert door.sent == b"9:NOTFOUND ,"
