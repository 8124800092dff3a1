"""The line codec: what the dialogs can't say."""

from __future__ import annotations

import pytest

from check_user.protocols.plain import LINE_LIMIT
from tests.protocols.asking import play


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
@pytest.mark.parametrize("size", [1, 100_000])
def test_line_limit(more: int, fits: bool, size: int) -> None:
    """A line of the limit is taken, one octet more is not, in pieces as well as whole."""
    data = b"a" * (LINE_LIMIT - 1 + more) + b"\n"
    door = play("line", [data[at : at + size] for at in range(0, len(data), size)])
    assert (len(door.lookups), bool(door.error)) == (int(fits), not fits)


@pytest.mark.fault("PC08")
def test_controls_are_one_answer() -> None:
    """CR and NUL within a line don't make two lines of it, and don't come back."""
    door = play("line", [b"a\rb\0c@example.org\n"])
    assert door.sent == b"DENY Malformed address\n"
