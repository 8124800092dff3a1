"""The SMTP codec: messages, by DATA and by BDAT."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from check_user.protocols import Mark
from check_user.protocols.smtp import Content, Data, End, Question, Reply
from check_user.protocols.smtp.content import LINE, PIECE
from check_user.protocols.smtp.limits import SmtpLimits
from tests.protocols.smtp_door import SmtpDoor, codec, decide, in_data, in_mail

SMUGGLING_TOOLS = (
    b"\n.\n",
    b"\n.\r",
    b"\r.\n",
    b"\r.\r",
    b"\n.\r\n",
    b"\r.\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
)
OUR_OWN = (
    b"\r\n.\n",
    b"\r\n.\r",
    b"\n\n.\n\n",
    b"\n\r.\n\r",
    b"\r\n.\0\r\n",
    b"\r\n\r.\r\n",
    b"\r\n.\r\0\n",
)
ENDS = SMUGGLING_TOOLS + OUR_OWN
"""What one server takes for the end of a message, and another doesn't (GW03)."""

SECOND = b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\nevil\r\n.\r\n"

REFUSED = b"550 5.6.11 The message has a NUL, or a CR or LF that stands alone\r\n"

PARTS = {
    "nothing": b"",
    "letter": b"a",
    "dot": b".",
    "dots": b"..",
    "end of line": b"\r\n",
    "8 bits": b"\xe4",
    "long": b"x" * LINE,
    "longer than a piece": b"y" * 70_000,
}
parts = st.lists(st.sampled_from(list(PARTS)), max_size=12)


def fed(door: SmtpDoor, data: bytes, size: int) -> bytes:
    door.sent = b""
    for at in range(0, len(data), size):
        door.feed(data[at : at + size])
    return door.sent


@pytest.mark.fault("GW03")
@pytest.mark.parametrize("size", [1, 3, 1_000_000])
@pytest.mark.parametrize("end", ENDS)
def test_no_smuggling_by_data(end: bytes, size: int) -> None:
    """None of 16 false ends ends a message, is passed on, or lets what follows be a command."""
    door = in_data()
    assert fed(door, b"first" + end + SECOND + b"NOOP\r\n", size) == REFUSED
    assert (door.closed, door.messages) == (True, [])
    assert door.said[-1] == "abandon"
    assert end not in b"".join(door.content)
    assert not any(said.startswith("mail") for said in door.said)


@pytest.mark.fault("GW03")
@pytest.mark.parametrize("size", [1, 3, 1_000_000])
@pytest.mark.parametrize("end", ENDS)
def test_no_smuggling_by_chunks(end: bytes, size: int) -> None:
    """None of them is passed on from a chunk either, wherever the chunks' borders are."""
    message = b"first" + end + b"second\r\n"
    for border in range(len(message)):
        door = in_mail()
        session = b"BDAT %d\r\n" % border + message[:border]
        session += b"BDAT %d LAST\r\n" % (len(message) - border) + message[border:] + b"NOOP\r\n"
        assert fed(door, session, size).endswith(REFUSED)
        assert (door.closed, door.messages, door.said[-1]) == (True, [], "abandon")


def test_lone_cr_at_the_last_chunks_end() -> None:
    """A CR whose LF never comes is refused at the end of the message, and not given on."""
    door = in_mail()
    assert door.ask(b"BDAT 2\r\na\rBDAT 0 LAST\r\n") == b"250 2.0.0 Chunk received\r\n" + REFUSED
    assert door.content == [b"a"]


@given(names=parts, size=st.sampled_from([999, 1003, 65_536, 1_000_000]))
def test_dots(names: list[str], size: int) -> None:
    """What a client stuffs comes out as it was: dots, empty lines, long lines, in any pieces."""
    message = b"".join(PARTS[name] for name in names) + b"\r\n"
    stuffed = b"".join(
        (b"." if line.startswith(b".") else b"") + line + b"\r\n"
        for line in message.split(b"\r\n")[:-1]
    )
    door = in_data()
    assert fed(door, stuffed + b".\r\nNOOP\r\n", size).endswith(b"250 2.0.0 OK\r\n")
    assert door.messages == [message]


@given(names=parts, split=st.booleans(), size=st.sampled_from([999, 1003, 65_536, 1_000_000]))
def test_chunks(names: list[str], split: bool, size: int) -> None:
    """Chunks make the message that they are parts of, and each is answered once."""
    chunks = [PARTS[name] for name in names]
    message = b"".join(chunks)
    if split:
        chunks = [message[at : at + 5001] for at in range(0, len(message), 5001)]
    session = b"".join(b"BDAT %d\r\n%b" % (len(chunk), chunk) for chunk in chunks)
    door = in_mail()
    replies = fed(door, session + b"BDAT 0 LAST\r\nNOOP\r\n", size)
    assert replies.count(b"250 2.0.0 Chunk received\r\n") == len(chunks)
    assert replies.endswith(b"250 2.6.0 Message taken\r\n250 2.0.0 OK\r\n")
    assert door.messages == [message]


def test_pieces_are_lines() -> None:
    """A piece ends with a line, unless the line is longer than lines may be."""
    door = in_data()
    door.feed(b"Received: from a\r\nRecei")
    door.feed(b"ved: from b\r\n")
    assert door.content == [b"Received: from a\r\n", b"Received: from b\r\n"]
    door.feed(b"x" * LINE)
    assert len(door.content) == 2
    door.feed(b"x")
    assert door.content[2:] == [b"x" * (LINE + 1)]


def test_long_line_cut_before_its_end() -> None:
    """A line longer than lines may be keeps its CR LF together, wherever its octets are cut."""
    door = in_data()
    door.feed(b"x" * (LINE + 1) + b"\r")
    assert door.ask(b"\n.\r\n") == b"250 2.6.0 Message taken\r\n"
    assert door.messages == [b"x" * (LINE + 1) + b"\r\n"]


@pytest.mark.parametrize("broken", [b"x" * 1001 + b"\r\n.\r\n", b"x" * 600 + b"\r\n.\r\n"])
def test_nothing_is_left_of_an_abandoned_message(broken: bytes) -> None:
    """The transaction after a message that was refused has no recipients yet."""
    door = in_data(codec(limits=SmtpLimits(message=1000)))
    door.decide = lambda each: Reply(554, "", ("No",)) if isinstance(each, End) else decide(each)
    assert door.ask(broken).startswith(b"55")
    assert door.ask(b"MAIL FROM:<>\r\n").startswith(b"250 ")
    assert door.ask(b"DATA\r\n").startswith(b"503 5.5.1 Say RCPT")


@pytest.mark.parametrize(
    "size", [b"+5", b"-1", b"0x5", b"5 FIRST", b"", b"5 LAST x", b"1" + b"0" * 20, b"\xb2"]
)
def test_chunk_sizes(size: bytes) -> None:
    """A chunk's size that is none ends the session: what follows might be anything."""
    door = in_mail()
    assert door.ask(b"BDAT " + size + b"\r\nRSET\r\n") == b"501 5.5.4 Syntax: BDAT size [LAST]\r\n"
    assert (door.closed, door.said) == (True, ["abandon"])


@pytest.mark.fault("GW15")
@pytest.mark.parametrize("code", [451, 554])
def test_refused_chunks(code: int) -> None:
    """A chunk is refused when its octets were read; those sent behind it are refused, too."""

    def refuse(question: Question) -> Reply | None:
        return Reply(code, "", ("No",)) if isinstance(question, Data) else decide(question)

    door = in_mail()
    door.decide = refuse
    assert door.ask(b"BDAT 6\r\nQUI") == b""
    assert door.said == ["chunks", "abandon"]
    door.feed(b"T\r\nBDAT 6 LAST\r\nQUIT\r\nMAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\n")
    codes = [line[:3] for line in door.sent.splitlines()]
    assert codes == [b"%d" % code, b"503", b"503", b"250", b"250"]


def test_refused_last_chunk() -> None:
    """After a refused chunk that is the last one no RSET is due."""

    def refuse(question: Question) -> Reply | None:
        return Reply(451, "", ("No",)) if isinstance(question, Data) else decide(question)

    door = in_mail()
    door.decide = refuse
    assert door.ask(b"BDAT 1 LAST\r\na") == b"451 No\r\n"
    assert door.ask(b"MAIL FROM:<>\r\n").startswith(b"250 ")


@pytest.mark.fault("GW10")
@pytest.mark.parametrize("size", [1, 100, 1_000_000])
def test_too_big(size: int) -> None:
    """A message over the limit is abandoned at once, read to its end, and then refused."""
    door = in_data(codec(limits=SmtpLimits(message=1000)))
    assert fed(door, b"x" * 1020, size) == b""
    assert door.said[-1] == "abandon"
    assert fed(door, b"\r\n.\r\nNOOP\r\n", size) == (
        b"552 5.3.4 Message too big\r\n250 2.0.0 OK\r\n"
    )
    assert not door.messages


@pytest.mark.fault("GW10")
def test_limit_fits() -> None:
    """A message of exactly the limit is taken, by DATA and in chunks."""
    for session in (b"DATA\r\n" + b"x" * 998 + b"\r\n.\r\n", b"BDAT 1000 LAST\r\n" + b"x" * 1000):
        door = in_mail(codec(limits=SmtpLimits(message=1000)))
        assert door.ask(session).endswith(b"250 2.6.0 Message taken\r\n")
        assert len(door.messages[0]) == 1000


@pytest.mark.fault("GW10")
def test_too_big_by_what_is_announced() -> None:
    """A chunk that makes a message too big is refused before any of it is given on."""
    limits = SmtpLimits(message=1000)
    door = in_mail(codec(limits=limits))
    assert door.ask(b"BDAT 1001 LAST\r\n" + b"x" * 1001) == b"552 5.3.4 Message too big\r\n"
    assert door.said == []
    door = in_mail(codec(limits=limits))
    door.feed(b"BDAT 600\r\n" + b"x" * 600 + b"BDAT 401 LAST\r\n")
    assert door.said[-1] == "abandon"
    assert door.ask(b"x" * 401) == b"552 5.3.4 Message too big\r\n"


@pytest.mark.fault("GW10")
@pytest.mark.parametrize("begin", [b"DATA\r\n", b"BDAT 999999999 LAST\r\n"])
def test_endless_message(begin: bytes) -> None:
    """What is refused is read to twice the limit, and no further: the reply, and the end."""
    door = in_mail(codec(limits=SmtpLimits(message=100_000)))
    door.feed(begin)
    door.sent = b""
    count = 0
    while not door.closed:
        door.feed(b"x" * 1000)
        count += 1
    assert 200 <= count <= 203
    assert door.sent == b"552 5.3.4 Message too big\r\n"


@pytest.mark.fault("GW10", "PC06")
@pytest.mark.parametrize("begin", [b"DATA\r\n", b"BDAT 50000000 LAST\r\n"])
@pytest.mark.parametrize("piece", [b"x" * 65_536, b"\r\n" * 32_768, b"." * 65_536, b"a\n" * 32_768])
def test_memory(begin: bytes, piece: bytes) -> None:
    """Of 50 MB without an end no more is kept than what was fed last and one piece."""
    session = in_mail().codec
    session.feed(begin)
    question = session.next_event()
    assert isinstance(question, Data)
    session.answer(question, Reply(354, "", ("Go on",)))
    tracemalloc.start()
    for _ in range(760):
        session.feed(piece)
        while not isinstance(event := session.next_event(), Mark):
            session.answer(event, None)  # type: ignore[arg-type]  # no Output is due
            if isinstance(event, Content):
                assert len(event.data) <= PIECE
        assert event is Mark.NEED_CONTENT
        assert len(session._data) <= len(piece) + LINE + 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * PIECE
