"""Anything at all as a configuration file."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from check_user.config import KEYS, ConfigError, parse
from tests.config.test_lines import FILE, write

LINE = st.tuples(st.sampled_from(list(KEYS)), st.text(max_size=30)).map("=".join)


@given(st.binary(max_size=300))
@example(b"\xef\xbb\xbf")
def test_any_bytes(data: bytes) -> None:
    """Any bytes are settings or a ConfigError of one line."""
    try:
        parse(FILE, data)
    except ConfigError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


@given(st.lists(LINE, max_size=6))
def test_any_values(lines: list[str]) -> None:
    """Any values of our keys, added to a good file, are settings or a ConfigError."""
    data = write() + "\n".join(lines).encode("utf-8", "surrogatepass")
    try:
        parse(FILE, data)
    except ConfigError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
