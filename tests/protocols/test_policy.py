"""The policy codec: what the dialogs can't say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from check_user.address import Address, parse
from check_user.protocols.policy import REQUEST_LIMIT
from tests.protocols.asking import play

ATTRIBUTES = [
    b"request=smtpd_access_policy",
    b"protocol_state=RCPT",
    b"client_address=192.0.2.1",
    b"sender=x@example.net",
    b"tls_sni=",
    b"recipient=anna@example.org",
]


@pytest.mark.fault("PC09")
@given(lines=st.permutations(ATTRIBUTES))
def test_order(lines: list[bytes]) -> None:
    """The order of attributes doesn't matter."""
    door = play("policy", [b"\n".join(lines) + b"\n\n"])
    assert [(each.text, each.client) for each in door.lookups] == [
        ("anna@example.org", "192.0.2.1")
    ]


@pytest.mark.fault("PC08")
@pytest.mark.parametrize(
    "value", [b"x=recipient=y", b"a\0b", b"a\rrecipient=evil@example.org", b"|"]
)
def test_values_are_opaque(value: bytes) -> None:
    """NUL, CR, ``=`` and ``|`` in a value stay in that value."""
    door = play("policy", [b"helo_name=" + value + b"\nrecipient=anna@example.org\n\n"])
    assert [each.text for each in door.lookups] == ["anna@example.org"]
    assert door.sent == b"action=DUNNO\n\n"


@pytest.mark.fault("PC08")
@pytest.mark.parametrize("position", [0, 1])
def test_smuggled_recipient(position: int) -> None:
    """A second recipient that came through another attribute's value decides nothing."""
    lines = [b"recipient=nobody@example.org", b"helo_name=x\nrecipient=anna@example.org"]
    door = play("policy", [b"\n".join(lines if position else lines[::-1]) + b"\n\n"])
    assert door.sent == b"action=451 4.4.3 Internal error - try later\n\n"
    assert not door.lookups


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
@pytest.mark.parametrize("size", [1, 100_000])
def test_request_limit(more: int, fits: bool, size: int) -> None:
    """A request of the limit is taken, one octet more is not, in pieces as well as whole."""
    begin = b"recipient=anna@example.org\nx="
    data = begin + b"y" * (REQUEST_LIMIT - len(begin) - 1 + more) + b"\n\n"
    door = play("policy", [data[at : at + size] for at in range(0, len(data), size)])
    assert (len(door.lookups), bool(door.error)) == (int(fits), not fits)


@given(local=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30))
def test_internal_form(local: str) -> None:
    """Every local part that Postfix sends without its quotes arrives as what it stands for."""
    if local.startswith('"') and local.endswith('"') and len(local) > 1:
        return
    door = play("policy", [f"recipient={local}@example.org\n\n".encode()])
    address = parse(door.lookups[0].text)
    assert isinstance(address, Address)
    assert address.local.lower() == local.lower()
