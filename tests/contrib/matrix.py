"""What every mail server says to every recipient, beside what the check says: docs/matrix.md.

``python -m tests.contrib.matrix`` writes the page; a test compares it with what is seen.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from unicodedata import combining

from check_user.verdict import Action, Reason, Verdict
from tests.contrib.field import FAULTS, GATEWAY, Field, Reply, Seen, octets, recipients
from tests.contrib.recipients import RECIPIENTS
from tests.contrib.sites import PATIENCE, Site
from tests.peers.fixtures import below
from tests.peers.mariadb import Template
from tests.peers.smtp import OUTSIDER, RELAY_CLIENT

PAGE = Path(__file__).parents[2] / "docs" / "matrix.md"

INTRODUCTION = """\
# Every mail server, every door

What real mail servers say to RCPT when they are set up by `check-user recipe` and ask one
check_user. Made from what the tests see, by `python -m tests.contrib.matrix`; do not edit by hand.

`ours.example` and `bücher.example` (`xn--bcher-kva.example`) are ours, in the database and in every
mail server's own list of domains; `mx.example` is the mail server's name. The configuration has
`recipient_delimiter=+` and `bounce_forms=srs, batv`.
"""

OUTSIDERS = """\
## A client from outside

The column *check* is check_user's own verdict. A foreign recipient, to whom the check has no
objection, is refused by the mail server's own rules about relaying. A refusal marked with ° is for
good, as the check's is, and in the mail server's own words: it didn't ask, or doesn't pass on what
it was told. A number is that of a note below the tables.
"""

RELAYING = """\
## A client that may relay

Foreign recipients are left to the mail server, which takes them. All others get what they get from
outside.
"""

BROKEN = """\
## What breaks

What recipients get meanwhile, and how long that takes: an unknown one in a session that has begun,
and (but where that takes half a minute) a known one in a new session. Nobody is accepted, and
nobody refused for good; within two seconds after all is well again answers are right again.
*garbage* is some thirty kinds of answers that are none, from somebody else at the door.
*restarted* is about the next recipient of a session: refused for good, as he should be, or for now;
a new session has right answers at once.
"""


@dataclass(frozen=True)
class Note:
    """Why some servers (by how their names begin) treat some recipients otherwise."""

    text: str
    servers: tuple[str, ...]
    recipients: Collection[str | bytes]


MAPS = ("postfix socketmap", "postfix tcp_table")
LONG_ONES = [each for each in RECIPIENTS["Bounces"] if len(octets(each).split(b"@")[0]) > 64]

NOTES = (
    Note(
        "It refuses a dot at a domain's end, which RFC 5321 doesn't have.",
        ("exim", "opensmtpd", "haraka", "qpsmtpd"),
        ["known@ours.example."],
    ),
    Note(
        "OpenSMTPD 6.8 refuses local parts in quotes.",
        ("opensmtpd",),
        [each for group in RECIPIENTS.values() for each in group if octets(each)[:1] == b'"'],
    ),
    Note(
        "It takes `postmaster` without a domain for one at its own name, and that for foreign.",
        ("opensmtpd", "haraka"),
        ["postmaster", "Postmaster"],
    ),
    Note(
        "Haraka refuses local parts of more than 64 octets, some of them with a `+` aside.",
        ("haraka",),
        LONG_ONES,
    ),
    Note(
        "It has no SMTPUTF8, and refuses what isn't ASCII in a local part, in a domain, or both. "
        "(Postfix with tables: the recipe switches it off, since Postfix folds a table's keys.)",
        (*MAPS, "sendmail", "opensmtpd"),
        RECIPIENTS["UTF-8"],
    ),
    Note(
        "qpsmtpd takes no domain that isn't ASCII.",
        ("qpsmtpd",),
        [each for each in RECIPIENTS["UTF-8"] if not str(each).endswith("@ours.example")],
    ),
    Note(
        "It drops the blank, and asks about `known@ours.example`.",
        ("postfix policy", *MAPS, "sendmail socketmap"),
        ["known @ours.example"],
    ),
    Note(
        "It takes no address literals.",
        ("exim",),
        ["known@[127.0.0.1]"],
    ),
    Note(
        "The mail server's own address or name, whose users check_user doesn't know: it is for the "
        "mail server to say who is there. `%` and `!` mean nothing to it.",
        ("postfix", "exim", "qpsmtpd", GATEWAY),
        ["known@[127.0.0.1]", *(each for each in RECIPIENTS["Routes"] if "@mx" in str(each))],
    ),
    Note(
        "It takes no names without a domain, from nobody, `postmaster` aside.",
        ("exim", "sendmail", "opensmtpd", "haraka", "qpsmtpd"),
        RECIPIENTS["Without a domain"],
    ),
    Note(
        "It takes no routes to its own name, from nobody.",
        ("sendmail",),
        RECIPIENTS["Routes"],
    ),
)


def expected(verdict: Verdict, client: str) -> int:
    """The class of the reply that the check's verdict should lead to."""
    if verdict.action is Action.DENYSOFT:
        return 4
    if verdict.action is Action.DENY:
        return 5
    return 5 if verdict.reason is Reason.FOREIGN and client == OUTSIDER else 2


def note_for(server: str, recipient: str | bytes) -> int | None:
    """The number of the first note about both."""
    for number, note in enumerate(NOTES, 1):
        if server.startswith(note.servers) and recipient in note.recipients:
            return number
    return None


def is_own_refusal(site: Site | None, verdict: Verdict, reply: Reply) -> bool:
    """Whether the mail server refuses in words of its own what the check refuses."""
    if verdict.action is not Action.DENY or reply.code // 100 != 5:
        return False
    if site is not None and not site.passes_codes:
        return False
    return not str(reply).endswith(f" {verdict.enhanced}")


def page(field: Field) -> str:
    """The whole of docs/matrix.md."""
    parts = [INTRODUCTION, OUTSIDERS, *_table(field, OUTSIDER)]
    parts += [RELAYING, *_table(field, RELAY_CLIENT), _notes(), BROKEN, *_faults(field)]
    return "\n".join(parts)


def _table(field: Field, client: str) -> Iterator[str]:
    replies = field.replies(client)
    said = dict(zip(recipients(), enumerate(field.verdicts()), strict=True))
    yield f"| recipient | check | {' | '.join(replies)} |"
    yield f"| --- | --- | {' | '.join('---' for _ in replies)} |"
    for title, group in RECIPIENTS.items():
        shown = group
        if client == RELAY_CLIENT:
            shown = [each for each in group if said[each][1].reason is Reason.FOREIGN]
        if shown:
            yield f"| **{title}** |" + " |" * (len(replies) + 1)
        for recipient in shown:
            number, verdict = said[recipient]
            cells = [
                _cell(field.sites.get(name), name, recipient, verdict, each[number], client)
                for name, each in replies.items()
            ]
            yield f"| {show(recipient)} | {_said(verdict)} | {' | '.join(cells)} |"
    yield ""


def _said(verdict: Verdict) -> str:
    if verdict.action is Action.DECLINED:
        return verdict.reason.value
    return f"{verdict.reason.value} {verdict.enhanced}"


def _cell(
    site: Site | None,
    server: str,
    recipient: str | bytes,
    verdict: Verdict,
    reply: Reply,
    client: str,
) -> str:
    if reply.code // 100 != expected(verdict, client):
        return f"{reply} [{note_for(server, recipient) or '?'}]"
    return f"{reply}°" if is_own_refusal(site, verdict, reply) else str(reply)


def show(recipient: str | bytes) -> str:
    """A recipient as it can stand in a table."""
    text = octets(recipient).decode("utf-8", "backslashreplace")
    if len(text) > 100:
        local, _, domain = text.partition("@")
        text = f"{local[:3]}...@{domain}, {len(local)} octets before the @"
    shown = "".join(map(_plain, text)).replace("|", "\\|")
    return f"`{shown}`" if text else "(empty)"


def _plain(char: str) -> str:
    """A character, or its number where it can't be told from others by its looks."""
    is_plain = char.isprintable() and not combining(char) and char != "\u212a"
    return char if is_plain else f"\\u{ord(char):04x}"


def _notes() -> str:
    return "\n".join(f"{number}. {note.text}" for number, note in enumerate(NOTES, 1)) + "\n"


def _faults(field: Field) -> Iterator[str]:
    yield f"| | {' | '.join(FAULTS)} |"
    yield f"| --- | {' | '.join('---' for _ in FAULTS)} |"
    seen = {fault: field.after(fault) for fault in FAULTS}
    for name in field.sites:
        cells = [_after(fault, seen[fault][name]) for fault in FAULTS]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def _after(fault: str, seen: Seen) -> str:
    codes = {seen.replies[0].code} if fault == "restarted" else seen.codes
    if codes == {0}:
        return f"no reply in {PATIENCE:.0f} s"
    return f"{', '.join(map(str, sorted(codes)))} in {seen.seconds:.1f} s"


def without_times(text: str) -> str:
    """The page but for the tenths of seconds."""
    return re.sub(r"\d+\.\d s", "... s", text)


def main() -> None:
    """Start everything, see, and write the page."""
    root = Path(tempfile.mkdtemp(prefix="check_user-"))
    root.chmod(0o755)
    try:
        database = Template(below(root, "template")).server(below(root, "mariadb"))
        database.start()
        try:
            database.clean()
            with Field(below(root, "field"), database).running() as field:
                PAGE.write_text(page(field), "utf-8")
        finally:
            database.stop()
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
