"""The exim codec: what the dialogs can't say."""

from __future__ import annotations

import pytest

from check_user.protocols import Lookup, Mark
from check_user.protocols.exim import EximCodec
from check_user.protocols.plain import LINE_LIMIT
from tests.protocols.asking import play


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
@pytest.mark.parametrize("size", [1, 100_000])
def test_line_limit(more: int, fits: bool, size: int) -> None:
    """A line of the limit is taken, one octet more is not, in pieces as well as whole."""
    data = b"a" * (LINE_LIMIT - 1 + more) + b"\n"
    door = play("exim", [data[at : at + size] for at in range(0, len(data), size)])
    assert (len(door.lookups), bool(door.error)) == (int(fits), not fits)


def test_closed_by_the_question() -> None:
    """After the question comes the end, before its answer is there, and nothing is kept."""
    codec = EximCodec()
    codec.feed(b"anna@example.org\nx@example.net\nhalf")
    assert isinstance(codec.next_event(), Lookup)
    assert codec.next_event() is Mark.CLOSE
    codec.feed(b"nobody@example.org\n")
    assert codec.next_event() is Mark.CLOSE
