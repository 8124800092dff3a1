"""The order of answers by itself, and the tests that a schema makes on stored values."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from check_user.address import Address, parse
from check_user.directory import Presence
from check_user.directory.order import Fact, Facts, Found, State, decide, is_like
from check_user.directory.schemas import SCHEMAS
from check_user.directory.schemas.declaration import (
    Addresses,
    Begins,
    Both,
    Clear,
    Condition,
    Either,
    Filled,
    Future,
    Is,
    IsNot,
)

OURS = {"x.example": [Fact("domain")]}
NOW = 1_195_819_200.0
"""2007-11-23 12:00 UTC."""


def names(text: str) -> tuple[Address, ...]:
    found = parse(text)
    assert isinstance(found, Address)
    return (found, *found.without_extension("+"))


def ask(text: str, facts: Facts, *asked: str) -> Found:
    return decide(names(text), facts, {names(text)[0].domain.key, *asked})


def said(text: str, facts: Facts, *asked: str) -> Presence:
    return ask(text, {**OURS, **facts}, *asked).presence


STEPS: list[tuple[Presence, Facts]] = [
    (Presence.REFUSED, {"a@x.example": [Fact("rule", State.REFUSED)]}),
    (Presence.KNOWN, {"a+b@x.example": [Fact("mailbox")]}),
    (Presence.BASE, {"a@x.example": [Fact("mailbox")]}),
    (
        Presence.ALIAS_DOMAIN,
        {
            "x.example": [Fact("domain"), Fact("alias", stands_for="y.example")],
            "a@y.example": [Fact("mailbox")],
        },
    ),
    (Presence.CATCH_ALL, {"@x.example": [Fact("alias")]}),
    (Presence.RELAY, {"x.example": [Fact("domain", State.RELAY)]}),
    (Presence.UNKNOWN, OURS),
]


@pytest.mark.parametrize("first", range(len(STEPS)))
def test_the_first_step_that_applies_is_the_answer(first: int) -> None:
    """Whatever else is stored for later steps: refusal, exact, without extension, alias domain,
    catch-all, relay domain, unknown."""
    facts: dict[str, list[Fact]] = {"x.example": [Fact("domain")]}
    for _, rows in STEPS[first:]:
        for key, about in rows.items():
            facts.setdefault(key, []).extend(about)
    assert ask("a+b@x.example", facts, "y.example").presence is STEPS[first][0]


@pytest.mark.parametrize(
    ("states", "answer"),
    [
        ([State.DISABLED], Presence.DISABLED),
        ([State.DISABLED, State.ACTIVE], Presence.KNOWN),
        ([State.ACTIVE, State.BUSY], Presence.BUSY),
        ([State.ACTIVE, State.FULL], Presence.FULL),
        ([State.ACTIVE, State.BUSY, State.DISABLED, State.REFUSED], Presence.REFUSED),
    ],
)
@pytest.mark.fault("SQ18")
def test_rows_of_one_address(states: list[State], answer: Presence) -> None:
    """Several rows for one address: refused, then busy or full, then active, then disabled; and no
    catch-all is asked."""
    rows = [Fact("row", state) for state in states]
    everybody = {"@x.example": [Fact("alias")]}
    for order in (rows, rows[::-1]):
        assert said("a@x.example", {"a@x.example": order, **everybody}) is answer


def test_what_makes_a_domain_ours() -> None:
    """A domain's own row decides, enabled or relay; an alias domain's only where there is none."""
    off, alias = Fact("domain", State.DISABLED), Fact("alias", stands_for="y.example")
    row = {"a@x.example": [Fact("mailbox")]}
    for about, ours in (
        ([], False), ([off], False), ([off, Fact("domain")], True), ([alias], True),
        ([off, alias], False), ([alias._replace(state=State.DISABLED)], False),
        ([Fact("domain", State.RELAY)], True),
    ):  # fmt: skip
        found = decide(names("a@x.example"), {**row, "x.example": about}, {"x.example"})
        assert (found.presence is Presence.KNOWN) is ours, about


@pytest.mark.fault("SQ23")
def test_an_alias_domain_is_followed_once() -> None:
    """Its target's rows must be asked for; a chain isn't followed, and a loop ends."""
    alias = {"x.example": [Fact("alias", stands_for="y.example")]}
    chain = {"y.example": [Fact("alias", stands_for="z.example")], "a@z.example": [Fact("box")]}
    assert ask("a@x.example", alias).follow == "y.example"
    assert said("a@x.example", {**alias, **chain}, "y.example", "z.example") is Presence.UNKNOWN
    loop = {"x.example": [Fact("alias", stands_for="x.example")]}
    assert ask("a@x.example", loop) == Found(Presence.UNKNOWN)
    both = {**alias, "y.example": [Fact("alias", stands_for="x.example")]}
    assert said("a@x.example", both, "y.example") is Presence.UNKNOWN


def test_what_serves_an_alias_domain() -> None:
    """Rows that don't serve alias domains do serve ``@old -> @new``, which is an alias itself."""
    row = {
        "a@y.example": [Fact("alias", through=False)],
        "@y.example": [Fact("all", through=False)],
    }
    by_domain = {"x.example": [Fact("alias domain", stands_for="y.example")]}
    assert said("a@x.example", {**by_domain, **row}, "y.example") is Presence.UNKNOWN
    by_alias = {"@x.example": [Fact("alias", stands_for="y.example")]}
    assert said("a@x.example", {**by_alias, **row}, "y.example") is Presence.ALIAS_DOMAIN


def test_a_disabled_catch_all_is_none() -> None:
    """It neither takes anybody nor makes everybody disabled."""
    assert said("a@x.example", {"@x.example": [Fact("alias", State.DISABLED)]}) is Presence.UNKNOWN


def test_why_names_the_rows() -> None:
    """The reason names what was followed, the row, its state, and where it goes."""
    facts = {
        "example.net": [Fact("alias domain", stands_for="example.org")],
        "sales@example.org": [Fact("alias", goes_to="anna@example.org")],
    }
    (asked,) = names("sales@example.net")
    assert ask("sales@example.net", facts, "example.org").why(asked) == (
        "alias domain example.net -> example.org; alias sales@example.org is active, goes to "
        "anna@example.org; known in the domain that its own stands for"
    )


@pytest.mark.parametrize(
    ("pattern", "likes", "dislikes"),
    [
        ("%", ["", "a", "abc"], []),
        ("team-%", ["team-", "team-a"], ["team", "ateam-"]),
        ("Q_", ["qa", "q_"], ["q", "qab"]),
        ("%a%b", ["ab", "xaxxb", "abab"], ["ba", "abx"]),
        ("a", ["a"], ["", "aa"]),
        ("K", ["k"], []),
        ("\u212a", [], ["k"]),
    ],
)
def test_like(pattern: str, likes: list[str], dislikes: list[str]) -> None:
    """SQL's LIKE, in any case of the 26 letters."""
    assert [text for text in likes if not is_like(text, pattern)] == []
    assert [text for text in dislikes if is_like(text, pattern)] == []


@given(st.text("ab%_", max_size=8), st.text("ab", max_size=8))
def test_like_is_likes_own_definition(pattern: str, text: str) -> None:
    """It agrees with the definition: ``%`` any text, ``_`` one character."""

    def defined(text: str, pattern: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "%":
            return any(defined(text[i:], pattern[1:]) for i in range(len(text) + 1))
        same = bool(text) and pattern[0] in ("_", text[0])
        return same and defined(text[1:], pattern[1:])

    assert is_like(text, pattern) is defined(text, pattern)


def test_like_takes_no_time() -> None:
    """A stored pattern full of wildcards can't hold the event loop."""
    begun = time.perf_counter()
    assert not is_like("a" * 64, "%a" * 40 + "b")
    assert time.perf_counter() - begun < 0.01


@pytest.mark.parametrize(
    ("test", "holds", "fails"),
    [
        (Is("f"), ["1", "Y", "yes", "true", " t ", "on", "\x01"], ["0", "n", "2", "", None, "\0"]),
        (Is("f", ("1", "2")), ["1", "2"], ["0", "3", None, "true"]),
        (Is("f", null=True), [None, "1"], ["0"]),
        (IsNot("f"), ["0", "n", None, ""], ["1", "y", "true"]),
        (Begins("f", ("smtp", "relay")), ["smtp:[x]", "Relay:"], ["virtual", "", None, "lmtp"]),
        (Clear("f", 0x10), ["0", "15", "32", None, "", "x"], ["16", "17", "31"]),
        (Filled("f"), ["1"], [None]),
        (
            Future("f"),
            [None, "1195819200", "2007-11-23", "2007-11-24 00:00:00", "2007-11-23 12:00:00+00",
             "2007-11-23T13:30:00+01:00", "9999-12-31 00:00:00", "0000-00-00 00:00:00", "never"],
            ["1195819199", "2007-11-22", "2007-11-23 11:59:59", "2007-11-23 12:30:00+01:00",
             "2007-11-23 11:59:59.5", "0"],
        ),
        (Either((Is("a"), Is("b"))), [], []),
    ],
)  # fmt: skip
def test_tests(test: Condition, holds: list[str | None], fails: list[str | None]) -> None:
    """What stored values mean, as texts of any database."""
    assert [value for value in holds if not test.holds([value], NOW)] == []
    assert [value for value in fails if test.holds([value], NOW)] == []


def test_several_tests_look_at_their_own_values() -> None:
    """Either is one of them, Both is all, each with its own columns."""
    a_or_b, a_and_b = Either((Is("a"), IsNot("b"))), Both((Is("a"), IsNot("b")))
    for stored, either, both in (
        (["1", "0"], True, True), (["0", "0"], True, False), (["0", "1"], False, False),
    ):  # fmt: skip
        assert a_or_b.holds(stored, NOW) is either
        assert a_and_b.holds(stored, NOW) is both


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_whole(name: str) -> None:
    """A schema has a source of domains and of addresses, names what it needs, and renames every
    table of its own and of its joins."""
    schema = SCHEMAS[name]
    assert schema.drivers
    assert schema.domains
    assert any(source.exact for source in schema.addresses)
    other = schema.renamed("pre_", {schema.tables[0]: "elsewhere.other"})
    assert other.tables == ("elsewhere.other", *(f"pre_{table}" for table in schema.tables[1:]))
    for source in schema.sources:
        joins = {join.name for join in source.joins}
        columns = [c.column for test in (*source.only, *source.enabled) for c in test.cells]
        columns += list(source.address) if isinstance(source, Addresses) else [source.domain]
        assert {column.rpartition(".")[0] for column in columns} <= {"", *joins}
