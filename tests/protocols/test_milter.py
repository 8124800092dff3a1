"""The milter codec: what the dialogs can't say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from check_user.protocols import Lookup, Mark
from check_user.protocols.milter import PACKET_LIMIT, MilterCodec
from check_user.verdict import unknown
from tests.protocols.asking import Door, opened, packet, play

ANSWERED = b"CHMRTLNBEU"
SILENT = b"DAK"
NO_REPLY = {b"C"[0]: 0x1000, b"M"[0]: 0x4000}
DATA = {b"C"[0]: b"a\0U", b"R"[0]: b"<anna@example.org>\0"}

masks = st.one_of(
    st.integers(0, 0xFFFFFFFF),
    st.sampled_from([0, 0x7F, 0x1FF, 0x3FF, 0x1FFFFF, 0x1000, 0x4000, 0x1FFFFF & ~0x5000]),
)
"""Any, and those that mail servers offer: none, versions 2 to 6, with and without their replies."""


def offer(version: int, actions: int, steps: int) -> bytes:
    return packet(b"O" + b"".join(n.to_bytes(4, "big") for n in (version, actions, steps)))


def packets(data: bytes) -> list[bytes]:
    """The contents of whole packets."""
    found = []
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        found.append(data[4:end])
        data = data[end:]
    return found


def agreed(door: Door) -> tuple[int, int, int]:
    """What a door answered to an offer: version, actions, steps."""
    answer = door.sent
    assert (len(answer), answer[:5]) == (17, b"\0\0\0\x0dO")
    version, actions, steps = (int.from_bytes(answer[at : at + 4], "big") for at in (5, 9, 13))
    return version, actions, steps


@pytest.mark.fault("PC13")
@given(version=st.integers(2, 0xFFFFFFFF), actions=masks, steps=masks)
def test_any_offer(version: int, actions: int, steps: int) -> None:
    """The answer is a version of both, no action, and only steps that were offered."""
    door = Door(MilterCodec())
    door.feed(offer(version, actions, steps))
    spoken, wanted, left_out = agreed(door)
    assert spoken == min(version, 6)
    assert wanted == 0
    assert left_out & ~steps == 0
    assert left_out & 0x8 == 0


@pytest.mark.fault("PC13")
@given(steps=masks)
def test_no_body_where_it_can_be_left_out(steps: int) -> None:
    """Headers, their end and body (0x70) never come over when the mail server can leave them out.

    CONNECT, for the client's address, always does.
    """
    door = Door(MilterCodec())
    door.feed(offer(6, 0, steps))
    left_out = agreed(door)[2]
    assert left_out & 0x70 == steps & 0x70
    assert left_out & 0x1 == 0


@pytest.mark.fault("PC12", "PC13")
@given(steps=masks, commands=st.lists(st.sampled_from(list(ANSWERED + SILENT)), max_size=20))
def test_as_many_replies_as_are_waited_for(steps: int, commands: list[int]) -> None:
    """In any order each command gets one reply, or none where none is wanted; none is ``a``.

    One too many would be taken for the answer to the next recipient.
    """
    door = Door(MilterCodec())
    door.feed(offer(6, 0, steps))
    left_out = agreed(door)[2]
    door.sent = b""
    door.feed(b"".join(packet(bytes([each]) + DATA.get(each, b"x\0")) for each in commands))
    answered = [
        each for each in commands if each in ANSWERED and not left_out & NO_REPLY.get(each, 0)
    ]
    assert packets(door.sent) == [b"c"] * len(answered)
    assert len(door.lookups) == commands.count(b"R"[0])
    assert not door.error


@pytest.mark.fault("PC12")
@given(letter=st.integers(0, 255).filter(lambda each: each not in ANSWERED + SILENT + b"OQ"))
def test_no_reply_to_an_unknown_letter(letter: int) -> None:
    """An unknown command ends the connection without a word: any could pass for an acceptance."""
    door = play("milter", [packet(bytes([letter]) + b"x\0") + packet(b"R<a@example.org>\0")])
    assert (door.sent, door.lookups) == (b"", [])
    assert door.error
    assert door.closed


@pytest.mark.parametrize(
    ("connect", "client"),
    [
        (b"mx.example.net\x004\x04\xd2192.0.2.1\0", "192.0.2.1"),
        (b"[192.0.2.1]\x004\x0a\x0a192.0.2.1\0", "192.0.2.1"),
        (b"x\x006\0\0IPv6:2001:db8::1\0", "2001:db8::1"),
        (b"x\x006\0\x002001:db8::1\0", "2001:db8::1"),
        (b"localhost\0L\0\0/run/smtp.sock\0", ""),
        (b"None\0U", ""),
        (b"", ""),
        (b"x\x004\0", ""),
        (b"x\x004\0\x19192.0.2.1", ""),
    ],
)
def test_the_clients_address(connect: bytes, client: str) -> None:
    """A lookup carries the address that CONNECT told, until the next client."""
    ask = packet(b"R<anna@example.org>\0")
    door = play("milter", [packet(b"C" + connect), ask, packet(b"A"), ask, packet(b"K"), ask])
    assert [each.client for each in door.lookups] == [client, client, ""]


@pytest.mark.fault("PC12")
def test_ten_thousand_macros() -> None:
    """Macros are passed over: no answer, nothing kept, and no rest of anything is waited for."""
    codec = opened("milter")
    for _ in range(10_000):
        codec.feed(packet(b"DRi\0" + b"x" * 100 + b"\0"))
        assert codec.next_event() is Mark.NEED_DATA
    assert codec._data == b""  # type: ignore[attr-defined]  # the codec's buffer


@pytest.mark.fault("PC06")
@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
@pytest.mark.parametrize("size", [1, 100_000])
def test_packet_limit(more: int, fits: bool, size: int) -> None:
    """A packet of the limit is taken, one octet more is not, in pieces as well as whole."""
    data = packet(b"R" + b"a" * (PACKET_LIMIT - 2 + more) + b"\0")
    door = play("milter", [data[at : at + size] for at in range(0, len(data), size)])
    assert (len(door.lookups), bool(door.error)) == (int(fits), not fits)


@pytest.mark.parametrize("length", [0, PACKET_LIMIT + 1, 2**31 - 1, 2**32 - 1, 1195725856])
@pytest.mark.fault("PC06", "PC07")
def test_refused_before_the_content(length: int) -> None:
    """A length that can't be is refused when it is read, not when the content is there."""
    assert f"{length} octets" in play("milter", [length.to_bytes(4, "big")]).error


def test_percent_is_doubled() -> None:
    """The mail server takes ``%`` for the begin of a format, so each one is doubled."""
    answer = MilterCodec().answer(Lookup("x"), unknown("%s%n%%@example.org"))
    assert b"'%%s%%n%%%%@example.org'" in answer
