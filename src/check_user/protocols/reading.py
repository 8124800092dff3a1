"""Reading the plain form's answers: the other end of ``plain``, for those who ask a door.

    DECLINED known
    DECLINED foreign
    DENY Address 'nobody@example.org' doesn't exist on this server
    DENYSOFT Internal error - try later

Taken strictly: any other line is a ProtocolError. So an answer that was cut short or mixed up with
another is no verdict.

The form doesn't carry the codes, so they are those of the reason; a refusal for a malformed address
is told by its text, which is constant.
"""

from __future__ import annotations

import re

from check_user.protocols import TEXT_LIMIT, Lookup, ProtocolError, one_line
from check_user.verdict import FAULT, MALFORMED, Verdict, foreign, known, unknown

ANSWER_LIMIT = 512
"""Octets of an answer with its end: the word, and TEXT_LIMIT octets of text."""

_ANSWER = re.compile(rb"(DECLINED) (known|foreign)|(DENY|DENYSOFT) ([ -~]{1,%d})" % TEXT_LIMIT)


def read_answer(line: bytes, lookup: Lookup) -> Verdict:
    """Read the answer to ``lookup``, without its LF. Raises ProtocolError."""
    answer = _ANSWER.fullmatch(line)
    if answer is None:
        raise ProtocolError("not an answer")
    match [group.decode() for group in answer.groups() if group is not None]:
        case ["DECLINED", "known"]:
            return known(one_line(lookup.text))
        case ["DECLINED", _]:
            return foreign(one_line(lookup.text))
        case ["DENYSOFT", text]:
            return FAULT._replace(text=text)
        case [_, text] if text != MALFORMED.text:
            return unknown("")._replace(text=text)
    return MALFORMED
