"""What the fuzz targets of the codecs share: the rules for any octets, cut anywhere.

The first two octets of an input say where it is cut; the rest is what a client sends.

- a codec yields events or raises ProtocolError, and nothing else;
- it comes to an end: no more questions than octets, and CLOSE after the client's end;
- cut or whole, the same questions and the same answers;
- every answer is in its protocol's grammar, whatever the verdict.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import atheris

from check_user import verdict
from check_user.protocols import Codec, Lookup, Mark, Output, ProtocolError

VERDICTS = (
    verdict.known("a@b.example"),
    verdict.unknown("a@b.example"),
    verdict.foreign("a@b.example"),
    verdict.MALFORMED,
    verdict.FAULT,
)

Said: TypeAlias = Lookup | bytes | str


def next_event(codec: Codec) -> Lookup | Output | Mark | str:
    """The next event, or what the ProtocolError says."""
    try:
        return codec.next_event()
    except ProtocolError as error:
        return str(error)


def play(codec: Codec, parts: list[bytes]) -> list[Said]:
    """A session: its questions and its answers, and whether it ended with an error."""
    said: list[Said] = []
    for part in [*(part for part in parts if part), b""]:
        codec.feed(part)
        while not isinstance(event := next_event(codec), Mark):
            if isinstance(event, Lookup):
                said += [event, codec.answer(event, VERDICTS[len(said) % len(VERDICTS)])]
            elif isinstance(event, Output):
                said.append(event.data)
            else:
                assert event.isprintable()
                said.append("error")
            assert len(said) <= 2 * sum(map(len, parts)) + 1
    assert event is Mark.CLOSE
    return said


def fuzz(name: str, new: Callable[[], Codec], grammar: bytes) -> None:
    """Run a target with libFuzzer's options from the command line; the seeds are only read."""
    answers = re.compile(grammar, re.DOTALL)

    def test_one_input(data: bytes) -> None:
        session = data[2:]
        cut = int.from_bytes(data[:2], "big") % (len(session) + 1)
        said = play(new(), [session])
        assert play(new(), [session[:cut], session[cut:]]) == said
        assert all(answers.fullmatch(each) for each in said if isinstance(each, bytes)), said

    seeds = sorted((Path(__file__).parent / "corpus" / name).iterdir())
    options = ["-max_len=512", "-len_control=0", f"-seed_inputs={','.join(map(str, seeds))}"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:]], test_one_input)
    atheris.Fuzz()
