"""What the fuzz targets of the codecs share: the rules for any octets, cut anywhere.

The first two octets of an input say where it is cut; the rest is what a client sends.

- a codec yields events or raises ProtocolError, and nothing else;
- it comes to an end: no more events than octets, and CLOSE after the client's end;
- cut or whole, the same questions and the same answers;
- every answer is in its protocol's grammar, whatever the verdict;
- of what isn't a whole question it keeps no more than its bound.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True, slots=True)
class Target:
    """A codec, the grammar of one answer, and the octets that it may keep."""

    codec: Callable[[], Codec]
    answer: bytes
    bound: int

    def check(self, data: bytes) -> None:
        """Hold one input against the rules."""
        cut, session = int.from_bytes(data[:2], "big"), data[2:]
        whole = list(self._play([session]))
        at = cut % (len(session) + 1)
        assert list(self._play([session[:at], session[at:]])) == whole

    def _play(self, parts: list[bytes]) -> Iterator[Lookup | bytes | str]:
        """The questions, the answers, and the end of a session."""
        codec = self.codec()
        for part in [*(part for part in parts if part), b""]:
            codec.feed(part)
            for _ in range(len(part) + 3):
                try:
                    event = codec.next_event()
                except ProtocolError as error:
                    assert str(error).isprintable()
                    yield "error"
                    event = codec.next_event()
                    assert event is Mark.CLOSE
                if isinstance(event, Mark):
                    break
                yield from self._answers(codec, event)
            else:
                raise AssertionError("more events than octets")
            if event is Mark.CLOSE:
                return
            assert len(codec._data) <= self.bound + len(part)  # type: ignore[attr-defined]  # its buffer
        raise AssertionError("no end")

    def _answers(self, codec: Codec, event: Lookup | Output) -> Iterator[Lookup | bytes]:
        if isinstance(event, Output):
            answers = [event.data]
        else:
            yield event
            event.text.encode("utf-8", "surrogateescape")
            answers = [codec.answer(event, each) for each in VERDICTS]
        for answer in answers:
            assert re.fullmatch(self.answer, answer, re.DOTALL), answer
            yield answer


def fuzz(name: str, target: Target) -> None:
    """Run a target with libFuzzer's options from the command line; the seeds are only read."""
    seeds = sorted((Path(__file__).parent / "corpus" / name).iterdir())
    options = ["-max_len=4096", "-len_control=0", f"-seed_inputs={','.join(map(str, seeds))}"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:]], target.check)
    atheris.Fuzz()
