"""The accounts that the directory's contract is about, and how they may lie in tables.

STORED is what the tables hold, (local part, domain), each with the spellings under which it must be
found. Nobody else is there.
"""

from __future__ import annotations

from collections.abc import Iterable

from check_user.directory import Presence
from tests.directory.backends import Backend

STORED = {
    ("anna", "x.example"): (
        "anna@x.example", "ANNA@x.example", "anna@X.EXAMPLE", "anna@x.example.", '"anna"@x.example',
        '"an\\na"@x.example', "<anna@x.example>", "<@relay.example:anna@x.example>",
    ),
    ("Bert.Maier", "X.example"): ("bert.maier@x.example", "BERT.MAIER@x.example"),
    ("o'brien+news", "x.example"): ("o'brien+news@x.example", "O'Brien+News@x.example"),
    ("ida", "x.example  "): ("ida@x.example", "Ida@x.example"),
    ('"hans huber"', "x.example"): ('"hans huber"@x.example', '"Hans\\ Huber"@X.example'),
    ("zoë", "x.example"): ("zoë@x.example", "zoe\u0308@x.example", "ZOë@x.example"),
    ("jose\u0301", "x.example"): ("josé@x.example", "jose\u0301@x.example", "JOSé@x.example"),
    ("Küster", "x.example"): ("küster@x.example", "KüSTER@x.example"),
    ("emil", "bücher.example"): (
        "emil@bücher.example", "emil@bu\u0308cher.example", "Emil@BüCHER.example",
        "emil@xn--bcher-kva.example", "emil@XN--BCHER-KVA.EXAMPLE",
    ),
    ("frida", "xn--mller-kva.example"): ("frida@müller.example", "frida@xn--mller-kva.example"),
    ("Kurt", "XN--Strae-oqa.Example"): ("kurt@straße.example", "kurt@xn--strae-oqa.example"),
    ("lea", "[192.0.2.1]"): ("lea@[192.0.2.1]",),
    ("mia", "[IPv6:2001:DB8::1]"): ("mia@[IPv6:2001:db8:0::1]", "mia@[ipv6:2001:db8::1]"),
}  # fmt: skip

UNKNOWN = (
    "nobody@x.example", "ann@x.example", "annaa@x.example", "bert@x.example", "emil@x.example",
    "anna@bücher.example", "anna@xn--bcher-kva.example", "anna@[192.0.2.1]", "postmaster@x.example",
    "zoe@x.example", '"anna "@x.example', '" anna"@x.example', '"hanshuber"@x.example',
    "аnna@x.example", "😀@x.example", "%@x.example", "anna%@x.example", "_nna@x.example",
)  # fmt: skip

FOREIGN = (
    "anna@y.example", "anna@example", "anna@sub.x.example", "anna@x.example.org", "anna@xx.example",
    "emil@bucher.example", "emil@buecher.example", "kurt@strasse.example", "lea@[192.0.2.2]",
    "anna@[127.0.0.1]", "anna@_.example", "anna@х.example",
)  # fmt: skip

OURS = ("x.example", "X.EXAMPLE", "x.example.", "bücher.example", "xn--bcher-kva.example",
        "müller.example", "straße.example", "[192.0.2.1]", "[ipv6:2001:db8::1]")  # fmt: skip
NOT_OURS = ("y.example", "example", "sub.x.example", "bucher.example", "strasse.example",
            "xn--bcher-kva", "[192.0.2.2]", "_.example")  # fmt: skip


TEXT = "varchar(100)"

PAIR = {"email_user": "local_part", "email_domain": "domain"}

LAYOUTS: dict[str, dict[str, str]] = {
    # what the options say beside the names that backends.py gives
    "address": {},
    "address, one table": {"domain_table": "users"},
    "user and domain": PAIR,
    "user and domain, one table": {**PAIR, "domain_table": "users"},
}


def tables(backend: Backend, stored: Iterable[tuple[str, str]] = STORED, column: str = TEXT) -> str:
    """The statements that make the tables of every layout, with columns of this type."""
    rows = [(f"{local}@{domain}", local, domain) for local, domain in stored]
    domains = dict.fromkeys((domain,) for _, _, domain in rows)
    return (
        f"{needs(column)}"
        f"CREATE TABLE users (email {column}, local_part {column}, domain {column});"
        f"CREATE TABLE domains (domain {column});"
        f"{backend.insert('users', rows)} {backend.insert('domains', domains)}"
    )


NEEDS = {
    "citext": "CREATE EXTENSION citext;",
    "address": "CREATE DOMAIN address AS varchar(100);",
    "loose": "CREATE COLLATION loose "
    "(provider=icu, locale='und-u-ks-level1', deterministic=false);",
}


def needs(column: str) -> str:
    """What must be made before a column of this type can be."""
    return "".join(sql for word, sql in NEEDS.items() if column.endswith(word))


def fits(text: str, column: str) -> bool:
    """Whether the character set of a column of this type has all of the text."""
    charset = next((name for name in ("latin1", "ascii") if name in column), "utf-8")
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        return False
    return True


def expected(column: str = TEXT) -> dict[str, Presence]:
    """What must be said about each address, where STORED is in columns of this type."""
    answers = dict.fromkeys(UNKNOWN, Presence.UNKNOWN) | dict.fromkeys(FOREIGN, Presence.FOREIGN)
    for stored, asked in STORED.items():
        if fits("".join(stored), column):
            answers |= dict.fromkeys(asked, Presence.KNOWN)
    if not fits("ü", column):  # then bücher.example isn't ours either
        answers = {text: said for text, said in answers.items() if "cher" not in text}
    return answers
