"""docs/faults.md says what the tests say."""

from __future__ import annotations

from tests.fault_table import PAGE, catalogue, marked, page


def test_the_page_is_made_from_the_tests() -> None:
    """docs/faults.md is what `python -m tests.fault_table` writes."""
    assert PAGE.read_text("utf-8") == page()


def test_every_fault_has_a_test_or_a_reason() -> None:
    """A fault without a test says why, and one with a test claims no excuse."""
    groups = catalogue()
    later = groups.pop("later")
    faults = {key for group in groups.values() for key in group if key != "title"}
    assert faults - marked().keys() == later.keys()


def test_every_mark_is_in_the_catalogue() -> None:
    """A test can't claim a fault that nobody has described."""
    faults = {key for group in catalogue().values() for key in group}
    assert marked().keys() <= faults


def test_every_marked_test_states_its_rule() -> None:
    """A test that covers a fault says in its docstring what must hold."""
    assert [name for tests in marked().values() for name, rule in tests if not rule] == []
