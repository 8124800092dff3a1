"""docs/schemas.md: its cases are the tests' own, and its tables are made from the declarations."""

from __future__ import annotations

from tests.directory.schemas.page import MARK, page
from tests.directory.schemas.products import PRODUCTS
from tests.directory.schemas.world import PAGE, SKILLS, cases


def test_the_page_is_up_to_date() -> None:
    """The part that is made from the declarations is what they say now."""
    written = PAGE.read_text("utf-8").partition(MARK)
    assert written[1] + written[2] == page(), "run: python -m tests.directory.schemas.page"


def test_the_manual_has_many_cases() -> None:
    """There are 60 cases and more, each once; every skill is needed by some case, and every case is
    asked of some product."""
    found = cases()
    assert len(found) >= 60
    assert len({case.address for case in found}) == len(found)
    assert {skill for case in found for skill in case.needs} == SKILLS
    for case in found:
        assert any(case.needs <= product.skills for product in PRODUCTS.values()), case
