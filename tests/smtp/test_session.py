"""One client and the gateway, over a real connection: what is said, and in which order."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from tests.peers.certificates import Authority
from tests.peers.process import wait_until
from tests.smtp import broken
from tests.smtp.client import SENDER, Client
from tests.smtp.gateway import (
    ANNA,
    FOREIGN,
    KARL,
    MAILDIR,
    NOBODY,
    OURS,
    Gateway,
    one_rcpt,
    plugins,
)
from tests.smtp.hops import Hop

REPLIES = re.compile(rb"(?:[2-5][0-9]{2}[ -][ -~]*\r\n)*")


def codes(said: bytes) -> list[int]:
    """The codes of whole replies."""
    assert REPLIES.fullmatch(said), said
    return [int(line[:3]) for line in said.splitlines() if line[3:4] == b" "]


@pytest.mark.fault("GW01")
def test_an_exception_in_a_hook(peer_folder: Path) -> None:
    """A plugin that raises is 451 with a constant text to that recipient; the session goes on."""
    lines = plugins(MAILDIR, "broken")
    made = Gateway(peer_folder, lines, module="tests.smtp.broken", workers="1")
    with made as gateway, gateway.client() as client:
        assert client.begin() == [250]
        for name in ("raise", "raise-later", "raise"):
            assert client.rcpt(f"{name}@{OURS}") == (451, "4.3.0 Internal error - try later")
        assert client.rcpt(ANNA)[0] == 250
        assert client.data(b"Subject: x\r\n\r\nhi\r\n")[0] == 250
        assert len(gateway.delivered()) == 1
    assert made.logged(broken.SECRET)


@pytest.mark.fault("GW02", "PC11")
@pytest.mark.parametrize(
    "path",
    [
        b"<a@>",
        b'"',
        b"<@",
        b'<"a b"@[127.0.\xff\xff>',
        b"<a b@x>",
        b'<"@x>',
        b"<a@x",
        b"<>",
        b"<@ours.example>",
        b"<a\0b@ours.example>",
        b"<" + b"a" * 65 + b"@ours.example>",
        b"<a..b@ours.example>",
        b"<anna@ours..example>",
        b"<" + b"(" * 480 + b"@ours.example>",
    ],
)
def test_a_malformed_recipient(gateway: Gateway, path: bytes) -> None:
    """A path that is none is 5xx (501, 553, NUL 500) at once, and never a fault or an accept."""
    with gateway.client() as client:
        client.begin()
        code, text = client.command(b"RCPT TO:" + path)
        assert code in (500, 501, 553), text
        assert client.rcpt(ANNA)[0] == 250


@pytest.mark.fault("GW04")
@pytest.mark.parametrize("injected", [b"RSET\r\n", f"MAIL FROM:<{SENDER}>\r\n".encode()])
def test_commands_injected_before_tls(tls: Gateway, authority: Authority, injected: bytes) -> None:
    """Octets in STARTTLS's segment are never taken for commands: 554, and the session is over."""
    with tls.client() as client:
        client.ehlo()
        client.send(b"STARTTLS\r\n" + injected)
        assert codes(client.rest()) == [554]
    with tls.client() as client:
        client.ehlo()
        client.starttls(authority.cert)
        assert client.command(f"MAIL FROM:<{SENDER}>")[0] == 503, "nothing of before is left"
        assert "STARTTLS" not in client.ehlo()


@pytest.mark.fault("GW04")
def test_octets_between_starttls_and_its_handshake(tls: Gateway) -> None:
    """Plain commands after the 220 and before the handshake are answered by nobody."""
    with tls.client() as client:
        client.ehlo()
        assert client.command("STARTTLS")[0] == 220
        client.send(b"MAIL FROM:<evil@client.example>\r\nRCPT TO:<%b>\r\n" % ANNA.encode())
        assert b"250" not in client.rest()
    assert wait_until(lambda: tls.logged("no TLS") != [], 5)


@pytest.mark.fault("GW06")
def test_an_early_talker(peer_folder: Path) -> None:
    """Who speaks before the greeting gets 554 instead of it; who waits is greeted."""
    with Gateway(peer_folder, MAILDIR, smtp_greet_delay="0.5") as gateway:
        with Client(gateway.port, silently=True) as client:
            client.send(b"EHLO client.example\r\nMAIL FROM:<>\r\n")
            assert codes(client.rest()) == [554]
        with gateway.client() as client:
            assert client.greeting[0] == 220


@pytest.mark.fault("GW06")
def test_unauthorised_pipelining_keeps_the_order(gateway: Gateway) -> None:
    """A whole session in one segment, DATA's message too: refused where it may not be, in order."""
    names = [ANNA, NOBODY, KARL, FOREIGN]
    begin = [b"EHLO client.example", b"MAIL FROM:<%b>" % SENDER.encode()]
    begin += [b"RCPT TO:<%b>" % name.encode() for name in names]
    with gateway.client() as client:
        client.send(b"".join(line + b"\r\n" for line in [*begin, b"NOOP"]))
        assert client.replies(7) == [250, 250, 250, 550, 250, 550, 250]
        client.send(b"DATA\r\nSubject: x\r\n\r\nhi\r\n.\r\nQUIT\r\n")
        assert client.replies(3) == [354, 250, 221]
    refused = b"DATA\r\nMAIL FROM:<evil@client.example>\r\nRCPT TO:<%b>\r\n" % ANNA.encode()
    with gateway.client() as client:
        assert client.begin(NOBODY) == [250, 550]
        client.send(refused)
        assert codes(client.rest()) == [554, 421], "what follows a refused DATA is no command"
    assert len(gateway.delivered()) == 1


@pytest.mark.fault("GW07", "PC04")
def test_half_closed(before_postfix: Gateway, postfix: Hop) -> None:
    """A client that sends all it has and closes its side gets every reply, and its mail arrives."""
    body = b"Subject: x\r\n\r\nhi\r\n"
    lines = [
        "EHLO client.example",
        f"MAIL FROM:<{SENDER}>",
        *(f"RCPT TO:<{name}>" for name in (ANNA, NOBODY, KARL)),
        f"BDAT {len(body)} LAST",
    ]
    with before_postfix.client() as client:
        client.send("\r\n".join([*lines, ""]).encode() + body + b"QUIT\r\n")
        client.end()
        assert codes(client.rest()) == [250, 250, 250, 550, 250, 250, 221]
    assert sorted(mail.recipient for mail in postfix.mails()) == [ANNA, KARL]


@pytest.mark.fault("GW07", "PC04")
def test_half_closed_while_lookups_wait(gateway: Gateway) -> None:
    """The end of a client's side takes nothing from it: replies that are due then still come."""
    names = [ANNA, NOBODY, KARL, FOREIGN]
    with gateway.client() as client:
        assert client.begin() == [250]
        with sqlite3.connect(gateway.folder / "accounts.sqlite", isolation_level=None) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            client.send(b"".join(b"RCPT TO:<%b>\r\n" % name.encode() for name in names))
            client.end()
            time.sleep(0.3)  # the end has arrived; nothing tells that it has
            lock.execute("ROLLBACK")
        lock.close()
        assert codes(client.rest()) == [250, 550, 250, 550]


@pytest.mark.fault("GW12")
def test_recipients_beyond_the_limit(gateway: Gateway) -> None:
    """The first thousand recipients are taken, the next get 452, and the mail goes to the first."""
    with gateway.client() as client:
        client.begin()
        client.send(b"RCPT TO:<%b>\r\n" % ANNA.encode() * 1010)
        assert client.replies(1010) == [250] * 1000 + [452] * 10
        assert client.data(b"Subject: x\r\n\r\nhi\r\n")[0] == 250
    (mail,) = gateway.delivered()
    assert mail.count(b"Delivered-To: ") == 1000


@pytest.mark.fault("GW12")
def test_a_flood_of_recipients(gateway: Gateway) -> None:
    """A hundred thousand recipients at once end in 421, in bounded memory."""
    before = gateway.resident
    with gateway.client() as client:
        client.begin()
        flood = threading.Thread(
            target=push, args=(client, b"RCPT TO:<%b>\r\n" % ANNA.encode(), 100_000)
        )
        flood.start()
        said = client.rest()
        flood.join()
    assert codes(said)[:1000] == [250] * 1000
    assert codes(said)[-1] == 421
    assert set(codes(said)[1000:-1]) == {452}
    assert gateway.resident - before < 10e6


def push(client: Client, data: bytes, times: int) -> None:
    """Send as much as is taken."""
    try:
        for _ in range(times // 1000):
            client.send(data * 1000)
    except OSError:
        return


@pytest.mark.fault("GW17")
def test_mixed_verdicts(before_postfix: Gateway, postfix: Hop) -> None:
    """Known, unknown, foreign, database away, the next hop's refusals: each its own reply."""
    database = before_postfix.folder / "accounts.sqlite"
    with before_postfix.client() as client:
        client.begin()
        said = [client.rcpt(name) for name in (ANNA, NOBODY, FOREIGN, f"gone@{OURS}")]
        said.append(client.rcpt(f"later@{OURS}"))
        database.rename(database.with_suffix(".away"))
        try:
            said += [client.rcpt(KARL), client.rcpt(NOBODY)]
        finally:
            database.with_suffix(".away").rename(database)
        starts = [f"{code} {text.split(' ')[0]}" for code, text in said]
        assert starts == [
            "250 2.1.5",
            "550 5.1.1",
            "550 5.7.1",
            "550 5.2.1",
            "450 4.2.1",
            "451 4.4.3",
            "451 4.4.3",
        ]
        assert client.data(b"Subject: x\r\n\r\nhi\r\n")[0] == 250
    assert [mail.recipient for mail in postfix.mails()] == [ANNA]


@pytest.mark.fault("GW19")
@pytest.mark.parametrize("name", ["postmaster", f"postmaster@{OURS}", "PostMaster", "POSTMASTER@"])
def test_postmaster(gateway: Gateway, name: str) -> None:
    """Postmaster is taken, in any case, at a domain of ours and without one (RFC 5321 4.5.1)."""
    name = name + "Ours.Example" if name.endswith("@") else name
    assert gateway.deliver(b"Subject: x\r\n\r\nhi\r\n", name) == [250, 250, 250]
    assert one_rcpt(gateway, "postmaster@elsewhere.example")[0] == 550
