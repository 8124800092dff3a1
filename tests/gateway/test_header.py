"""The Received field that is added, and the count of those that are there."""

from __future__ import annotations

import locale
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from check_user.gateway.delivery import Transaction
from check_user.gateway.header import ROOM, ReceivedCount, received
from tests.gateway.asking import mail_of, recipient

NOW = datetime(2026, 3, 2, 7, 8, 9, tzinfo=UTC)


def field(*names: str, **changes: object) -> str:
    transaction = Transaction(mail_of(**changes), [recipient(name) for name in names])
    return received(transaction, "mx.example", "abc123", NOW).decode()


def test_received() -> None:
    """RFC 5321 4.4: from, by, with, id, for, and a date, folded, with CRLF."""
    assert field("anna@ours.example", protocol="ESMTPS") == (
        "Received: from client.example ([192.0.2.7])\r\n"
        "\tby mx.example with ESMTPS id abc123\r\n"
        "\tfor <anna@ours.example>; Mon, 02 Mar 2026 07:08:09 +0000\r\n"
    )


def test_recipients_do_not_learn_of_each_other() -> None:
    """With several recipients there is no 'for'."""
    assert " for " not in field("anna@ours.example", "karl@ours.example").replace("\t", " ")


@pytest.mark.parametrize(
    ("hello", "client", "origin"),
    [
        ("Client.example", "192.0.2.7", "client.example ([192.0.2.7])"),
        ("bücher.example", "192.0.2.7", "xn--bcher-kva.example ([192.0.2.7])"),
        ("[192.0.2.9]", "192.0.2.7", "[192.0.2.9] ([192.0.2.7])"),
        ("client.example", "2001:DB8::7", "client.example ([IPv6:2001:db8::7])"),
        ("client.example", "fe80::1%eth0", "client.example ([IPv6:fe80::1])"),
        ("client.example", "unix", "client.example"),
        ("(a) by b; c", "192.0.2.7", "[192.0.2.7] ([192.0.2.7])"),
        ("x\r\nBcc: y", "", "unknown"),
    ],
)
def test_what_a_client_calls_itself(hello: str, client: str, origin: str) -> None:
    """A hello that is no domain doesn't get into the field; the address stands there."""
    line = field("anna@ours.example", hello=hello, client=client).partition("\r\n")[0]
    assert line == f"Received: from {origin}"


def test_a_recipient_that_is_not_ascii() -> None:
    """A UTF-8 path stands in the field of an SMTPUTF8 mail only (RFC 6531 4.3)."""
    assert "for <zoë@ours.example>" in field("zoë@ours.example", utf8=True)
    assert "zo" not in field("zoë@ours.example")
    assert "for" not in field("a\r\nBcc: b@x").partition("mx.example")[2]


def test_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest field fits into ROOM, which SIZE is told; the date knows no locale."""
    monkeypatch.setattr(locale, "setlocale", None)
    domain = ".".join(["x" * 63] * 3 + ["y" * 61])
    text = received(
        Transaction(mail_of(hello=domain, client="2001:db8:1111:2222:3333:4444:5555:6666")),
        domain,
        "abcdef123456",
        NOW,
    )
    longest = recipient("a" * 64 + "@" + domain[-189:])
    assert len(text) + len(longest.text) + len("\r\n\tfor ") < ROOM


HEADERS = st.lists(
    st.sampled_from(
        [
            "Received: x",
            "RECEIVED:",
            "received",
            "Received-SPF: x",
            "X: Received:",
            " Received: x",
        ]
    )
)


@given(HEADERS, st.lists(st.integers(0, 200)))
def test_pieces_make_no_difference(lines: list[str], cuts: list[int]) -> None:
    """Fields are counted in the header alone, folded lines and look-alikes not, in any pieces."""
    body = "\r\n\r\nReceived: x\r\n\r\nReceived: x\r\n"
    message = ("Subject: x\r\n" + "\r\n".join(lines) + body).encode()
    if not lines:
        message = b"Subject: x" + body.encode()
    expected = lines.count("Received: x") + lines.count("RECEIVED:")
    edges = [0, *sorted(min(cut, len(message)) for cut in cuts), len(message)]
    edges = [edge for edge in edges if message[edge - 1 : edge] != b"\r" or edge == 0]
    count = ReceivedCount()
    for begin, end in pairwise(edges):
        count.feed(message[begin:end])
    assert count.count == expected


def test_a_message_that_begins_with_its_body() -> None:
    """An empty first line ends the header; a field may be the very first line."""
    count = ReceivedCount()
    assert count.feed(b"\r\nReceived: x\r\n") == 0
    assert ReceivedCount().feed(b"Received: x\r\n") == 1
