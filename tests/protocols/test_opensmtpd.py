"""The OpenSMTPD codec: what the dialogs can't say."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from check_user.protocols import Lookup
from check_user.protocols.opensmtpd import LINE_LIMIT, OpenSMTPDCodec
from check_user.verdict import Action, Reason, Verdict
from tests.protocols import smtpd_lines
from tests.protocols.asking import Door

QUESTION = b"filter|0.7|1.0|smtp-in|rcpt-to|a1|b1|"
MALFORMED = b"filter-result|a1|b1|reject|553 5.1.3 Malformed address\n"
PROCEED = b"filter-result|a1|b1|proceed\n"
PIECE = 4096


def test_answers_in_any_order() -> None:
    """Each answer bears its question's session and token, whenever it is given."""
    door = OpenSMTPDCodec()
    names = [b"%x|%x" % (n, 2 * n) for n in range(1, 50)]
    door.feed(b"".join(b"filter|0.7|1.0|smtp-in|rcpt-to|%b|a@b.example\n" % name for name in names))
    lookups = [door.next_event() for _ in names]
    assert all(isinstance(each, Lookup) for each in lookups)
    verdict = Verdict(Action.DECLINED, Reason.KNOWN, 250, "2.1.5", "")
    answers = [door.answer(each, verdict) for each in lookups[::-1] if isinstance(each, Lookup)]
    assert answers == [b"filter-result|%b|proceed\n" % name for name in names[::-1]]


@pytest.mark.fault("PC08", "PC17")
@given(text=st.text(max_size=600), code=st.sampled_from([451, 550]))
def test_a_text_is_one_field(text: str, code: int) -> None:
    """No text of a verdict ends the line, leaves ASCII or outgrows a reply of SMTP."""
    verdict = Verdict(Action.DENY, Reason.UNKNOWN, code, "5.1.1", text)
    answer = OpenSMTPDCodec().answer(Lookup("a@b.example", token="a1|b1"), verdict)
    assert re.fullmatch(
        rb"filter-result\|a1\|b1\|reject\|[45][0-9]{2} 5\.1\.1 [ -~]{0,450}\n", answer
    )


@pytest.mark.fault("PC06", "PC11")
@pytest.mark.parametrize("size", [1000, 1_000_000])
@pytest.mark.parametrize("more", [0, 1, 5 * LINE_LIMIT])
def test_line_limit(more: int, size: int) -> None:
    """A line of the limit is a question; a longer one is refused once, and isn't kept."""
    line = QUESTION + b"a" * (LINE_LIMIT - len(QUESTION) - 1 + more) + b"\n"
    data = line + QUESTION + b"anna@example.org\n"
    door = Door(OpenSMTPDCodec())
    for at in range(0, len(data), size):
        door.feed(data[at : at + size])
    assert [len(each.text) > LINE_LIMIT - 100 for each in door.lookups] == [True, False][more > 0 :]
    assert door.sent == MALFORMED + PROCEED
    assert not door.error


@pytest.mark.fault("PC06")
def test_an_endless_line() -> None:
    """Of a line that doesn't end no more is kept than the limit, and nothing of the rest asks."""
    codec = OpenSMTPDCodec()
    door = Door(codec)
    for _ in range(2000):
        door.feed(b"x" * 4000 + QUESTION)
        assert len(codec._data) <= LINE_LIMIT
    assert not door.sent
    door.feed(b"\n" + QUESTION + b"anna@example.org\n")
    assert door.sent == PROCEED


@pytest.mark.fault("PC16")
@pytest.mark.parametrize(
    "count",
    [
        20_000,
        pytest.param(9_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
def test_any_lines(count: int) -> None:
    """Any lines: each that asks is answered once by its own names, and nothing else is said."""
    door = Door(OpenSMTPDCodec())
    registered = 0
    for seed in range(0, count, 10_000):
        asked = list(smtpd_lines.lines(seed, 10_000))
        data = b"".join(asked)
        for at in range(0, len(data), PIECE):
            door.feed(data[at : at + PIECE])
        said = door.sent.splitlines()
        door.sent = b""
        door.lookups.clear()
        if not registered:
            registered = 1
            for line in smtpd_lines.REGISTRATION:
                said.remove(line)
        answers: Counter[bytes] = smtpd_lines.given(said)
        assert answers == smtpd_lines.expected(asked)
    assert not door.error
