"""The recipients of the tests here, and how a mail server is asked about them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tests.peers.smtp import OUTSIDER, Session

KNOWN = "known@ours.example"
UNKNOWN = "unknown@ours.example"
FOREIGN = "somebody@elsewhere.example"

ACCOUNTS = """
CREATE TABLE domaintable (domain VARCHAR(128) NOT NULL PRIMARY KEY);
CREATE TABLE emailtable (
    local_part VARCHAR(64) NOT NULL,
    domain VARCHAR(128) NOT NULL,
    is_enabled CHAR(3) NOT NULL DEFAULT 'yes',
    PRIMARY KEY (local_part, domain)
);
INSERT INTO domaintable VALUES ('ours.example'), ('xn--bcher-kva.example');
INSERT INTO emailtable (local_part, domain, is_enabled) VALUES
    ('known', 'ours.example', 'yes'),
    ('at,home', 'ours.example', 'yes'),
    ('größe', 'ours.example', 'yes'),
    ('o''hara', 'ours.example', 'yes'),
    ('list', 'ours.example', 'yes'),
    ('root', 'ours.example', 'yes'),
    ('zoe', 'xn--bcher-kva.example', 'yes'),
    ('64-octets-64-octets-64-octets-64-octets-64-octets-64-octets-64-o', 'ours.example', 'yes'),
    ('former', 'ours.example', 'no');
"""
LONGEST = "64-octets-64-octets-64-octets-64-octets-64-octets-64-octets-64-o"
TAG = "prvs=0123456789"

RECIPIENTS: dict[str, list[str | bytes]] = {
    "Known": [
        KNOWN,
        "KNOWN@Ours.Example",
        "o'hara@ours.example",
        '"known"@ours.example',
        '"at,home"@ours.example',
        '"k\\nown"@ours.example',
        "zoe@xn--bcher-kva.example",
        "zoe@XN--Bcher-KVA.example",
        f"{LONGEST}@ours.example",
        "known@ours.example.",
    ],
    "Unknown": [
        UNKNOWN,
        "UNKNOWN@OURS.EXAMPLE",
        "knowns@ours.example",
        "grosse@ours.example",
        '"not,home"@ours.example',
        '"known@ours.example"@ours.example',
        '" known"@ours.example',
        "nobody@xn--bcher-kva.example",
        "50%off@ours.example",
        "unknown%s%n@ours.example",
        "known|unknown@ours.example",
        "o''hara@ours.example",
        "*@ours.example",
        f"{LONGEST[1:]}x@ours.example",
    ],
    "Disabled": ["former@ours.example", "Former+x@ours.example"],
    "Foreign": [
        FOREIGN,
        "known@elsewhere.example",
        "known@sub.ours.example",
        "known@notours.example",
        "known@[127.0.0.1]",
        "known@xn--strae-oqa.example",
        "postmaster@elsewhere.example",
    ],
    "Postmaster": [
        "postmaster",
        "Postmaster",
        "postmaster@ours.example",
        '"PostMaster"@Ours.Example',
        "postmaster@xn--bcher-kva.example",
    ],
    "Without a domain": ["known", "unknown", "root"],
    "With an extension": [
        "known+news@ours.example",
        "known+a+b@ours.example",
        "unknown+news@ours.example",
        "+news@ours.example",
    ],
    "Bounces": [
        "SRS0=HHHH=TT=elsewhere.example=joe@ours.example",
        "srs0+hhhh=tt=elsewhere.example=joe@ours.example",
        "SRS1=HHHH=forwarder.example==HHHH=TT=elsewhere.example=joe@ours.example",
        "SRS0=HHHH=TT=a.long.name.elsewhere.example=another.long.name.of.joe@ours.example",
        "SRS0=HHHH@ours.example",
        "SRS0=HHHH=TT=elsewhere.example=joe@elsewhere.example",
        f"{TAG}=known@ours.example",
        "btv1==0123456789a==known@ours.example",
        f"{TAG}=unknown@ours.example",
        f"{TAG}={LONGEST}@ours.example",
        f"known+{TAG}@ours.example",
        "list+joe=elsewhere.example@ours.example",
        "list+another.long.name.of.joe=a.long.name.elsewhere.example@ours.example",
        "unknown+joe=elsewhere.example@ours.example",
    ],
    "UTF-8": [
        "größe@ours.example",
        "gro\u0308ße@ours.example",
        "grösse@ours.example",
        "\u212anown@ours.example",
        "zoe@bücher.example",
        "nobody@bücher.example",
        "somebody@straße.example",
    ],
    "Routes": [
        "@relay.example:known@ours.example",
        "@relay.example:unknown@ours.example",
        "known%ours.example@elsewhere.example",
        "unknown%ours.example@mx.example",
        "ours.example!unknown@mx.example",
        "unknown%ours.example",
        "ours.example!unknown",
        '"unknown@ours.example"',
    ],
    "Malformed": [
        "",
        "@ours.example",
        "known@",
        "known..twice@ours.example",
        ".known@ours.example",
        "known.@ours.example",
        "known @ours.example",
        '"known@ours.example',
        "known@@ours.example",
        "known@ours..example",
        "known@[127.0.0]",
        "known@ours.example> <known@ours.example",
        b"known\xff@ours.example",
        b"known\x01@ours.example",
        "x" * 65 + "@ours.example",
        "x" * 245 + "@ours.example",
    ],
}
"""Recipients as they are sent, by what they are."""

REFUSED = (550, f"Address '{UNKNOWN}' doesn't exist on this server")
LATER = (450, "Internal error - try later")
"""qpsmtpd's replies."""


class MailServer(Protocol):
    """Whoever speaks SMTP at a port of 127.0.0.1."""

    @property
    def port(self) -> int: ...


@contextmanager
def talking(server: MailServer, source: str = OUTSIDER) -> Iterator[Session]:
    """A session of ``source``, after MAIL."""
    with Session(server.port, source) as session:
        session.mail()
        yield session


def one_rcpt(server: MailServer) -> tuple[int, str]:
    """The reply to the known recipient, in a session of its own."""
    with talking(server) as session:
        return session.rcpt(KNOWN)


def first_refusal(server: MailServer, address: str) -> tuple[int, float]:
    """The first reply of a new session that isn't 2xx, else the last; and the seconds until it."""
    begin = time.monotonic()
    with Session(server.port) as session:
        reply = session.greeting[0]
        commands = ["EHLO client.example", "MAIL FROM:<x@client.example>", f"RCPT TO:<{address}>"]
        for command in commands:
            if reply // 100 == 2:
                reply = session.command(command)[0]
    return reply, time.monotonic() - begin
