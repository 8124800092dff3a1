"""A site's own queries: what they may say, and that they give the verdicts of the schema."""

from __future__ import annotations

import pytest

from check_user.directory import Misconfigured, Presence, Step
from check_user.directory.sql.queries import parse_query
from tests.directory.backends import Backend, OnServer, address, domain
from tests.directory.schemas.by_hand import BY_HAND, Dialect
from tests.directory.schemas.filling import Filling
from tests.directory.schemas.products import PRODUCTS
from tests.directory.schemas.test_schemas import PLACES
from tests.directory.schemas.world import cases

EMAIL = "SELECT email FROM users WHERE email = :address"
DOMAIN = "SELECT domain FROM domains WHERE domain = :domain"


@pytest.mark.parametrize(("name", "backend"), PLACES, indirect=["backend"])
async def test_queries_give_the_verdicts_of_the_schema(name: str, backend: Backend) -> None:
    """Every product's tables behind a site's own queries: the manual's cases, with the same answers
    but for the source's name. (What is stored in U-labels is the query's own business.)"""
    filling = Filling(backend)
    product = PRODUCTS[name]
    product.fill(filling)
    filling.fill()
    dialect = Dialect(backend.name)
    queries = BY_HAND[name](dialect).queries(dialect)
    directory = await backend.open(**queries, delimiters="+-", email_address="")
    skills = product.skills - {"unicode"}
    expected = {case.address: case.answer for case in cases() if case.needs <= skills}
    plain = {"alias domain": "known", "without extension": "known"}
    found = {text: (await directory.find(address(text))).value for text in expected}
    wrong = {
        text: (found[text], answer)
        for text, answer in expected.items()
        if plain.get(found[text], found[text]) != plain.get(answer, answer)
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("SELECT email FROM users WHERE email = ':address'", "take the quotes away"),
        ("SELECT email FROM users WHERE email = 'x:user'", "take the quotes away"),
        ('SELECT email FROM users WHERE email = ":address"', "take the quotes away"),
        ("SELECT email FROM users WHERE email LIKE :address", "behind LIKE"),
        ("SELECT email FROM users WHERE email LIKE concat('%@', :domain)", "behind LIKE"),
        ("SELECT email FROM users WHERE email = :email", "none of :address, :user, :domain"),
        ("SELECT email FROM users", "asks for nobody"),
        ("SELECT 1 FROM users WHERE email = :address", "must return the address"),
        ("SELECT count(*) FROM users WHERE email = :address", "must return the address"),
        (f"{EMAIL}; DELETE FROM users", "second statement"),
        ("DELETE FROM users WHERE email = :address", "not a SELECT"),
    ],
)
@pytest.mark.fault("SQ08", "SQ09", "SQ19")
def test_what_a_query_may_not_say(query: str, complaint: str) -> None:
    """A quoted placeholder, LIKE, a count, a second statement, or nothing asked: refused, with what
    is wrong."""
    with pytest.raises(Misconfigured) as refused:
        parse_query("email_query", query, "mysql")
    assert complaint in str(refused.value)
    assert str(refused.value).startswith("email_query: ")


@pytest.mark.fault("SQ16")
def test_double_quotes_on_sqlite() -> None:
    """SQLite takes a quoted name that isn't there for a text, so it is refused there alone."""
    query = 'SELECT "email" FROM users WHERE email = :address'
    parse_query("email_query", query, "postgresql")
    with pytest.raises(Misconfigured):
        parse_query("email_query", query, "sqlite")


@pytest.mark.parametrize(
    "query",
    [
        f"{EMAIL};",
        f"{EMAIL} -- :nobody\n",
        f"/* :x */ {EMAIL}",
        "SELECT email FROM users WHERE email = :address AND note <> '12:30' AND x::text = ''",
        "SELECT email FROM users WHERE goto NOT LIKE '@%' AND email = :address",
        "WITH a AS (SELECT email FROM users) SELECT email FROM a WHERE email = :address",
    ],
)
def test_what_a_query_may_say(query: str) -> None:
    """Colons in texts, comments and casts are no placeholders; LIKE may have a text."""
    if query.startswith("/*"):  # a comment in front hides what it is
        with pytest.raises(Misconfigured):
            parse_query("email_query", query, "postgresql")
        return
    parse_query("email_query", query, "postgresql")


async def test_states(backend: Backend) -> None:
    """The second column is the state; NULL, 1 and an empty text are active, an unknown word is
    busy: nobody is refused for good by a slip. ``@domain`` is a catch-all."""
    people = {
        "anna": None, "bert": "", "carl": "1", "dora": "Active", "emil": "disabled",
        "frida": "refused", "gerd": " busy ", "hans": "full", "ida": "suspendet",
    }  # fmt: skip
    backend.fill(
        "CREATE TABLE users (email varchar(99), state varchar(20));"
        "CREATE TABLE domains (domain varchar(99), state varchar(20));"
        + backend.insert("users", [(f"{name}@x.example", state) for name, state in people.items()])
        + backend.insert("users", [("@all.example", None), ("off@all.example", "disabled")])
        + backend.insert("domains", [("x.example", None), ("all.example", "active"),
                                     ("r.example", "relay"), ("off.example", "disabled")])
    )  # fmt: skip
    at = "CONCAT('@', :domain)" if backend.name == "mariadb" else "('@' || :domain)"
    directory = await backend.open(
        email_query=f"SELECT email, state FROM users WHERE email IN (:address, {at})",
        domain_query="SELECT domain, state FROM domains WHERE domain = :domain",
        email_address="",
    )
    known, busy = Presence.KNOWN, Presence.BUSY
    answers = [known] * 4 + [Presence.DISABLED, Presence.REFUSED, busy, Presence.FULL, busy]
    expected = {f"{name}@x.example": said for name, said in zip(people, answers, strict=True)}
    expected |= {
        "nobody@x.example": Presence.UNKNOWN, "anybody@all.example": Presence.CATCH_ALL,
        "off@all.example": Presence.DISABLED, "anybody@r.example": Presence.RELAY,
        "anna@off.example": Presence.FOREIGN, "anna@y.example": Presence.FOREIGN,
    }  # fmt: skip
    found = {text: await directory.find(address(text)) for text in expected}
    assert found == expected
    assert await directory.find_domain(domain("r.example")) is Presence.KNOWN
    assert await directory.find_domain(domain("off.example")) is Presence.FOREIGN


@pytest.mark.fault("SQ02", "SQ03")
async def test_what_the_query_returns_is_compared(server: OnServer) -> None:
    """Whatever a query finds (an accent less, a space more, somebody else), only the address that
    was asked is a match."""
    server.fill(
        "CREATE TABLE users (email varchar(99)); CREATE TABLE domains (domain varchar(99));"
        + server.insert("users", [("muller@x.example",), ("zzz@x.example",)])
        + server.insert("domains", [("x.example",)])
    )
    directory = await server.open(
        email_query="SELECT email FROM users WHERE :address <> ''",
        domain_query=DOMAIN,
        email_address="",
    )
    for text in ("müller@x.example", "mulle@x.example", '"muller "@x.example'):
        assert await directory.find(address(text)) is Presence.UNKNOWN
    assert await directory.find(address("MULLER@x.example")) is Presence.KNOWN


async def test_a_query_is_tried_at_the_start(backend: Backend) -> None:
    """A query that the database refuses, or that returns too much, stops the start."""
    backend.fill("CREATE TABLE users (email varchar(99), a int, b int);")
    for query in (
        "SELECT email FROM people WHERE email = :address",
        "SELECT mail FROM users WHERE email = :address",
        "SELECT email, a, b FROM users WHERE email = :address",
    ):
        with pytest.raises(Misconfigured, match=r"^email_query: "):
            await backend.open(email_query=query, domain_query=DOMAIN, email_address="")


async def test_two_queries_at_the_same_time(backend: Backend) -> None:
    """A lookup asks both queries; each is a step."""
    backend.fill(
        "CREATE TABLE users (email varchar(99)); CREATE TABLE domains (domain varchar(99));"
    )
    directory = await backend.open(email_query=EMAIL, domain_query=DOMAIN, email_address="")
    steps: list[Step] = []
    await directory.find(address("anna@x.example"), steps.append)
    assert {step.name for step in steps[:2]} == {"email_query", "domain_query"}
