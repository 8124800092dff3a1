"""A server's replies, whole, in pieces, and wrong; and how LMTP's become one."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from check_user.gateway.replies import LINE_LIMIT, LINES_LIMIT, ReplyParser, fold
from check_user.protocols import ProtocolError
from check_user.protocols.smtp import Reply

WIRE = (
    b"220 hop.example\r\n"
    b"250-hop.example\r\n250-SIZE 100\r\n250 DSN\r\n"
    b"250\r\n"
    b"550-5.1.1 No such\r\n550 5.1.1 user\r\n"
    b"450 5.1.1 that isn't its class\r\n"
    b"250 2.0.0\r\n"
    b"354 \xe4\t\r\n"
)
REPLIES = [
    Reply(220, "", ("hop.example",)),
    Reply(250, "", ("hop.example", "SIZE 100", "DSN")),
    Reply(250, "", ("",)),
    Reply(550, "5.1.1", ("No such", "user")),
    Reply(450, "", ("5.1.1 that isn't its class",)),
    Reply(250, "2.0.0", ("",)),
    Reply(354, "", ("??",)),
]


@given(st.lists(st.integers(0, len(WIRE))))
def test_pieces_make_no_difference(cuts: list[int]) -> None:
    """However a server's octets arrive, the replies are the same."""
    parser = ReplyParser()
    edges = [0, *sorted(cuts), len(WIRE)]
    found = []
    for begin, end in pairwise(edges):
        found += parser.feed(WIRE[begin:end])
    assert found == REPLIES
    assert parser.is_empty


@pytest.mark.parametrize(
    "wire",
    [
        b"250 ok\n",
        b"250 a\rb\r\n",
        b"25 ok\r\n",
        b"2500 ok\r\n",
        b"150 ok\r\n",
        b"650 ok\r\n",
        b"260 ok\r\n",
        b"250+ok\r\n",
        b" 250 ok\r\n",
        b"\r\n",
        b"250-a\r\n550 b\r\n",
        b"x" * LINE_LIMIT,
        b"250 " + b"x" * (LINE_LIMIT - 5) + b"\r\n",
        b"250-x\r\n" * LINES_LIMIT,
        "２５０ ok\r\n".encode(),
    ],
)
def test_what_is_no_reply(wire: bytes) -> None:
    """Anything but replies within their limits is a ProtocolError, whole and octet by octet."""
    with pytest.raises(ProtocolError):
        ReplyParser().feed(wire)
    parser = ReplyParser()
    with pytest.raises(ProtocolError):
        list(map(parser.feed, (bytes([octet]) for octet in wire)))


def test_the_longest_that_is_one() -> None:
    """512 octets with the CRLF, and 100 lines, are still a reply."""
    parser = ReplyParser()
    assert len(parser.feed(b"250 " + b"x" * (LINE_LIMIT - 6) + b"\r\n")) == 1
    (reply,) = parser.feed(b"250-x\r\n" * (LINES_LIMIT - 1) + b"250 x\r\n")
    assert len(reply.lines) == LINES_LIMIT


@given(st.binary(max_size=2000))
def test_any_octets(data: bytes) -> None:
    """Whatever a server sends: replies of printable ASCII, or a ProtocolError."""
    replies = []
    with suppress(ProtocolError):
        replies = ReplyParser().feed(data)
    assert all(line.isascii() and line.isprintable() for each in replies for line in each.lines)


@given(st.lists(st.sampled_from([250, 251, 450, 451, 452, 550, 552, 554]), min_size=1))
def test_fold(codes: list[int]) -> None:
    """2xx only if all are; else 4xx if one is; else 5xx; always one that a recipient was given."""
    folded = fold([Reply(code, "", (str(code),)) for code in codes])
    assert folded.code in codes
    assert folded.is_positive is all(code < 400 for code in codes)
    if any(400 <= code < 500 for code in codes):
        assert 400 <= folded.code < 500
