"""Reading answers of the plain form: the other end of the ``line`` door."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from check_user import verdict
from check_user.protocols import Lookup, ProtocolError
from check_user.protocols.line import LineCodec
from check_user.protocols.reading import ANSWER_LIMIT, read_answer
from check_user.verdict import Action, Reason, Verdict
from tests.peers.scripted_door import GARBAGE

LOOKUP = Lookup("anna@example.org")
VERDICTS = [
    verdict.known(LOOKUP.text),
    verdict.foreign(LOOKUP.text),
    verdict.unknown(LOOKUP.text),
    verdict.MALFORMED,
    verdict.FAULT,
]


@pytest.mark.parametrize("given", VERDICTS, ids=lambda each: str(each.reason))
def test_each_verdict_comes_through(given: Verdict) -> None:
    """What the door says is the verdict that it was told, its code and its text included."""
    assert read_answer(LineCodec().answer(LOOKUP, given).removesuffix(b"\n"), LOOKUP) == given


@pytest.mark.fault("PC07", "PC21")
@pytest.mark.parametrize("line", [each.removesuffix(b"\n") for each in GARBAGE])
def test_anything_else_is_none(line: bytes) -> None:
    """What isn't an answer to the letter is no verdict."""
    with pytest.raises(ProtocolError):
        read_answer(line, LOOKUP)


@pytest.mark.fault("PC11")
@given(line=st.binary(max_size=40) | st.text(max_size=600).map(str.encode))
def test_any_octets(line: bytes) -> None:
    """Any octets are a verdict or a ProtocolError; a refusal begins with the word itself."""
    try:
        found = read_answer(line, LOOKUP)
    except ProtocolError:
        return
    assert line.startswith(found.action.value.encode() + b" ")


@given(text=st.text(max_size=600))
def test_any_text_fits(text: str) -> None:
    """Whatever a door makes of a text can be read, and stays within the limit."""
    answer = LineCodec().answer(LOOKUP, Verdict(Action.DENY, Reason.UNKNOWN, 550, "5.1.1", text))
    assert len(answer) <= ANSWER_LIMIT
    if text:
        assert read_answer(answer.removesuffix(b"\n"), LOOKUP).action is Action.DENY
