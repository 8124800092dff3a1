"""Rules that hold for every codec."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from check_user.protocols import TEXT_LIMIT, Codec, Kind, Lookup, Mark, ProtocolError, one_line
from check_user.verdict import FAULT, Action, Reason, Verdict
from tests.protocols.asking import CODECS, NEGOTIATION, Door, decide, opened, play, request

ADDRESSES = (
    b"anna@example.org",
    b"nobody@example.org",
    b"x@example.net",
    b"a@b",
    b"fault@example.org",
)

GRAMMAR = {
    "policy": rb"action=(?:DUNNO|[45][0-9][0-9] [45]\.[0-9]\.[0-9] [ -~]+)\n\n",
    "socketmap": rb"[0-9]+:(?:OK [^,]+|NOTFOUND |TEMP [ -~]+),",
    "line": rb"(?:DECLINED (?:known|foreign)|DENY(?:SOFT)? [ -~]+)\n",
    "tcp_table": rb"(?:200 [!-~]+|500 |400 [ -~]+)\n",
    "exim": rb"(?:DECLINED (?:known|foreign)|DENY(?:SOFT)? [ -~]+)\n",
    "opensmtpd": (
        rb"register\|filter\|smtp-in\|rcpt-to\nregister\|ready\n|filter-result\|[0-9a-f|]+"
        rb"\|(?:proceed|reject\|[45][0-9][0-9] [45]\.[0-9]\.[0-9] [ -~]+)\n"
    ),
    "milter": rb"\0\0(?:\0\x01c|\0\x0dO.{12}|[\0\x01].y[45][0-9]{2} [45]\.[0-9]\.[0-9] [ -~]+\0)",
}
"""What one answer may look like."""

codecs = pytest.mark.parametrize("protocol", CODECS)
kept_open = pytest.mark.parametrize("protocol", [name for name in CODECS if name != "exim"])
"""The protocols with many questions on a connection."""
strict = pytest.mark.parametrize("protocol", [name for name in CODECS if name != "opensmtpd"])
"""Those in which a peer can be wrong; smtpd's lines are taken as they come."""

alphabets = st.one_of(
    st.binary(max_size=60),
    st.text("0123456789:, aceinprst@.<>", max_size=60).map(str.encode),
    st.sampled_from(
        [b"\n", b"\r\n", b"\n\n", b"request=smtpd_access_policy\n", b"protocol_state=RCPT\n"]
    ),
    st.sampled_from([b"recipient=anna@example.org\n", b"27:recipients anna@example.org,", b"0:,"]),
    st.sampled_from(
        [b"nobody@example.org\n", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00", b"="]
    ),
    st.sampled_from([b"get ", b"put a b\n", b"%", b"%00", b"%7a", b"%zz"]),
    st.sampled_from(
        [NEGOTIATION, request("milter", b"anna@example.org"), b"\0\0\0\x01", b"A", b"K", b"Q"]
    ),
)
sessions = st.lists(alphabets, max_size=12).map(b"".join)
reasons = {
    Action.DENY: (Reason.UNKNOWN, Reason.MALFORMED),
    Action.DENYSOFT: (Reason.FAULT,),
    Action.DECLINED: (Reason.KNOWN, Reason.FOREIGN),
}
verdicts = st.builds(
    lambda kind, code, text: Verdict(kind[0], kind[1], code, "5.1.1", text),
    st.sampled_from([(action, reason) for action in Action for reason in reasons[action]]),
    st.sampled_from([250, 451, 550]),
    st.text(max_size=600),
)


def outcome(door: Door) -> tuple[bytes, list[Lookup], bool, bool]:
    return door.sent, door.lookups, bool(door.error), door.closed


@pytest.mark.fault("PC01")
@kept_open
@given(
    data=st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=8),
    cuts=st.lists(st.integers(0, 400)),
)
def test_chunks_of_good_requests(protocol: str, data: list[bytes], cuts: list[int]) -> None:
    """Questions are answered alike, and all of them, wherever the network cuts them."""
    session = b"".join(request(protocol, address) for address in data)
    whole = play(protocol, [session])
    assert len(whole.lookups) == len(data)
    assert outcome(play(protocol, pieces(session, cuts))) == outcome(whole)


@pytest.mark.fault("PC01", "PC11")
@codecs
@given(session=sessions, cuts=st.lists(st.integers(0, 400)))
@example(session=b"recipient=a\nx=\n\n\n", cuts=[1])
def test_chunks_of_anything(protocol: str, session: bytes, cuts: list[int]) -> None:
    """Any octets lead to answers within the grammar or to a ProtocolError, alike in any pieces."""
    whole = play(protocol, [session, b""])
    assert whole.closed
    assert re.fullmatch(rb"(?:%b)*" % GRAMMAR[protocol], whole.sent, re.DOTALL)
    assert outcome(play(protocol, [*pieces(session, cuts), b""])) == outcome(whole)
    octets = [session[at : at + 1] for at in range(len(session))]
    assert outcome(play(protocol, [*octets, b""])) == outcome(whole)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[a:b] for a, b in pairwise(marks)]


@pytest.mark.fault("PC01")
@kept_open
def test_trailing_octets_wait(protocol: str) -> None:
    """What follows a question stays for the next one."""
    first, second = request(protocol, b"anna@example.org"), request(protocol, b"x@example.net")
    door = play(protocol, [first + second[:7]])
    assert [each.text for each in door.lookups] == ["anna@example.org"]
    door.feed(second[7:])
    assert [each.text for each in door.lookups] == ["anna@example.org", "x@example.net"]


@pytest.mark.fault("PC02")
@kept_open
def test_ten_thousand_at_once(protocol: str) -> None:
    """10,000 questions in one piece are answered in order, in linear time."""
    addresses = [b"u%d@example.org" % n for n in range(10_000)]
    door = Door(opened(protocol))
    began = time.process_time()
    door.feed(b"".join(request(protocol, address) for address in addresses))
    assert [each.text.encode() for each in door.lookups] == addresses
    assert time.process_time() - began < 5.0


@codecs
@given(verdict=verdicts, text=st.text(min_size=1, max_size=50))
def test_any_verdict_is_one_answer(protocol: str, verdict: Verdict, text: str) -> None:
    """No text of a verdict ends a line, adds an attribute or leaves ASCII."""
    answer = opened(protocol).answer(Lookup("anna@example.org", table="access"), verdict)
    if protocol == "milter":
        size, answer = int.from_bytes(answer[:4], "big"), answer[4:]
        assert size == len(answer)
        answer = answer.removesuffix(b"\0")
    assert answer.isascii()
    assert answer.count(b"\n") == {"policy": 2, "socketmap": 0, "milter": 0}.get(protocol, 1)
    assert all(32 <= octet < 127 for octet in answer.rstrip(b"\n"))
    if protocol == "policy":
        assert answer.startswith(b"action=")


@pytest.mark.fault("PC17")
@codecs
def test_long_text_is_cut(protocol: str) -> None:
    """A text too long for an SMTP reply line is cut, so that the reply stays under 512 octets."""
    lookup = Lookup("a@b", table="access")
    for action, reason in ((Action.DENY, Reason.UNKNOWN), (Action.DENYSOFT, Reason.FAULT)):
        verdict = Verdict(action, reason, 550, "5.1.1", "x" * 5000)
        answer = opened(protocol).answer(lookup, verdict)
        assert len(answer) < 512
    assert len(answer) > TEXT_LIMIT


@codecs
def test_a_fault_is_temporary_everywhere(protocol: str) -> None:
    """What can't be told never looks like an answer."""
    for lookup in (
        Lookup("anna@example.org", table="recipients"),
        Lookup("anna@example.org", table="access"),
        Lookup("example.org", Kind.DOMAIN, "domains"),
    ):
        answer = opened(protocol).answer(lookup, FAULT)
        assert b"Internal error - try later" in answer
        assert re.search(rb"TEMP |451 |400 |DENYSOFT ", answer)


@pytest.mark.fault("PC11")
@codecs
def test_octets_that_are_no_text(protocol: str) -> None:
    """Octets that are not UTF-8 reach the check undamaged, and the answer is ASCII."""
    address = b"a\xff\xed\xa0\x80@example.org"
    door = play(protocol, [request(protocol, address)])
    assert door.lookups[0].text.encode("utf-8", "surrogateescape") == address
    assert door.sent.isascii()


@pytest.mark.fault("PC11")
@strict
def test_huge_local_part(protocol: str) -> None:
    """An address of 64 kB is a ProtocolError, not a lookup, and isn't kept."""
    door = play(protocol, [request(protocol, b"a" * 65_536 + b"@example.org")])
    assert door.error
    assert not door.lookups
    assert held(door.codec) == 0


@pytest.mark.fault("PC06")
@strict
def test_buffer_bound(protocol: str) -> None:
    """Of 10 MB without an end a codec keeps no more than one question's limit."""
    begin = {
        "policy": b"recipient=",
        "socketmap": b"10000:recipients ",
        "tcp_table": b"get ",
        "milter": b"\0\1\0\0R",
    }.get(protocol, b"a")
    door = Door(opened(protocol))
    most = 0
    for piece in [begin, *[b"a" * 1000] * 10_000]:
        door.feed(piece)
        most = max(most, held(door.codec))
    assert door.error
    assert most <= (67_000 if protocol == "milter" else 17_000)
    assert held(door.codec) == 0


def held(codec: Codec) -> int:
    return len(codec._data)  # type: ignore[attr-defined]  # the codecs' buffer, not the interface


@strict
def test_finished_after_an_error(protocol: str) -> None:
    """After a ProtocolError nothing that the peer sends is a question any more."""
    codec = opened(protocol)
    codec.feed(b"a" * 70_000)
    with pytest.raises(ProtocolError) as caught:
        codec.next_event()
    assert str(caught.value).isprintable()
    codec.feed(request(protocol, b"anna@example.org"))
    assert codec.next_event() is Mark.CLOSE
    assert codec.next_event() is Mark.CLOSE


@kept_open
def test_marks(protocol: str) -> None:
    """A codec tells whether it waits between questions or within one."""
    codec = opened(protocol)
    assert codec.next_event() is Mark.NEED_DATA
    whole = request(protocol, b"anna@example.org")
    codec.feed(whole[:5])
    assert codec.next_event() is Mark.NEED_REST
    codec.feed(whole[5:])
    lookup = codec.next_event()
    assert isinstance(lookup, Lookup)
    assert codec.answer(lookup, decide(lookup))
    assert codec.next_event() is Mark.NEED_DATA
    codec.feed(b"")
    assert codec.next_event() is Mark.CLOSE


@given(text=st.text())
def test_one_line(text: str) -> None:
    """One line is printable ASCII, and what was printable ASCII stays as it is."""
    line = one_line(text)
    assert line.isascii()
    assert all(" " <= char <= "~" for char in line)
    if all(" " <= char <= "~" for char in text):
        assert line == text[:TEXT_LIMIT]
