"""The gateway as real clients see it: swaks, smtplib, openssl, Postfix, Exim."""

from __future__ import annotations

import smtplib
import ssl
import subprocess
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.peers.certificates import Authority
from tests.peers.exim import Exim
from tests.peers.fixtures import below
from tests.peers.postfix import Postfix
from tests.peers.process import program
from tests.peers.smtp import RELAY_CLIENT
from tests.smtp.client import SENDER, Client
from tests.smtp.gateway import ANNA, FOREIGN, KARL, MAILDIR, NOBODY, OURS, Gateway, plugins
from tests.smtp.hops import Hop

JUERGEN = f"jürgen@{OURS}"

SENDING = """
smtp_tls_security_level = {level}
smtp_tls_CAfile = {authority}
smtp_tls_loglevel = 1
smtp_helo_name = sender.example
smtputf8_enable = yes
debug_peer_list = 127.0.0.1
bounce_queue_lifetime = 0
"""

StartSender = Callable[[Gateway, str], Postfix]


def sent_by_swaks(gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    where = ["--server", f"127.0.0.1:{gateway.port}", "--ehlo", "client.example"]
    return subprocess.run(
        [program("swaks", "swaks"), *where, "--from", SENDER, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("options", [[], ["--pipeline"], ["--protocol", "SMTP"]])
def test_swaks(gateway: Gateway, options: list[str]) -> None:
    """swaks delivers to whom is known and is told 550 for whom isn't; with pipelining, too."""
    both = sent_by_swaks(gateway, "--to", f"{ANNA},{NOBODY},{KARL}", *options)
    assert "550 5.1.1 Address 'nobody@ours.example' doesn't exist on this server" in both.stdout
    assert "250 2.0.0 Queued" in both.stdout
    assert sent_by_swaks(gateway, "--to", ANNA, *options).returncode == 0
    assert sent_by_swaks(gateway, "--to", NOBODY, *options).returncode == 24, "all refused"
    recipients = sorted(mail.count(b"Delivered-To: ") for mail in gateway.delivered())
    assert recipients == [1, 2]


def test_swaks_with_tls(tls: Gateway, authority: Authority) -> None:
    """swaks with STARTTLS, the certificate verified; what came so says ESMTPS."""
    trust = ["--tls-verify", "--tls-ca-path", str(authority.cert), "--tls"]
    done = sent_by_swaks(tls, "--to", ANNA, *trust)
    assert done.returncode == 0, done.stdout + done.stderr
    (mail,) = tls.delivered()
    assert b"with ESMTPS id " in mail


def test_smtplib(gateway: Gateway) -> None:
    """smtplib: a mail for several, refusals as its exceptions, an SMTPUTF8 one."""
    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=60) as client:
        refused = client.sendmail(SENDER, [ANNA, NOBODY, FOREIGN, KARL], "Subject: x\n\nhi\n.\n")
        assert {name: code for name, (code, _) in refused.items()} == {NOBODY: 550, FOREIGN: 550}
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail(SENDER, [NOBODY], "Subject: x\n\nhi\n")
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = SENDER, JUERGEN, "größe"
        message.set_content("Grüße\n")
        assert client.send_message(message) == {}
        assert client.verify(ANNA)[0] == 252
        assert client.noop()[0] == 250
    plain, utf8 = sorted(gateway.delivered(), key=lambda mail: b"UTF8SMTP" in mail)
    assert plain.endswith(b"hi\n.\n")
    assert f"Delivered-To: {JUERGEN}\n".encode() in utf8


def test_smtplib_with_tls_and_a_large_message(tls: Gateway, authority: Authority) -> None:
    """smtplib with STARTTLS: 20 MB arrive octet by octet; one above the limit is 552 at MAIL."""
    context = ssl.create_default_context(cafile=str(authority.cert))
    body = "".join(f"line {number}\n" for number in range(1_800_000))
    with smtplib.SMTP("127.0.0.1", tls.port, timeout=60) as client:
        assert client.starttls(context=context)[0] == 220
        assert client.sendmail(SENDER, [ANNA], f"Subject: large\n\n{body}") == {}
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            client.sendmail(SENDER, [ANNA], "x" * 998 + "\r\n" * 30_000_000)
        assert refused.value.smtp_code == 552
        assert client.sendmail(SENDER, [ANNA], "Subject: small\n\nhi\n") == {}
    large = max(tls.delivered(), key=len)
    assert large.partition(b"\n\n")[2] == body.encode()
    assert len(body) > 20_000_000


@pytest.mark.fault("GW04")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl(tls: Gateway, authority: Authority, version: str) -> None:
    """`openssl s_client -starttls smtp` verifies the certificate, and speaks SMTP through it."""
    lines = ["EHLO client.example", f"MAIL FROM:<{SENDER}>", f"VRFY {ANNA}", "QUIT", ""]
    done = subprocess.run(
        [
            *(program("openssl", "openssl"), "s_client", "-starttls", "smtp", version, "-crlf"),
            *("-connect", f"127.0.0.1:{tls.port}", "-CAfile", str(authority.cert)),
            *("-verify_return_error", "-verify_ip", "127.0.0.1", "-ign_eof", "-nocommands"),
        ],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Verification: OK" in done.stdout, done.stderr
    assert "STARTTLS" not in done.stdout.partition("250-gateway.example")[2]
    assert "221 2.0.0 gateway.example Bye" in done.stdout


@pytest.fixture
def start_postfix(peers_root: Path, authority: Authority) -> Iterator[StartSender]:
    """Start a Postfix that sends everything to a gateway; ``level`` is that of its TLS."""
    started: list[Postfix] = []

    def start(gateway: Gateway, level: str) -> Postfix:
        settings = SENDING.format(level=level, authority=authority.cert)
        sender = Postfix(below(peers_root, "sender"), settings, sends_to=gateway.port)
        started.append(sender)
        sender.start()
        return sender

    yield start
    for sender in started:
        sender.stop()


def submit(
    port: int, names: list[str], content: bytes, parameters: str = "", sender: str = SENDER
) -> None:
    """Give a mail to a mail server that is to send it."""
    with Client(port, RELAY_CLIENT) as client:
        said = client.begin(*names, parameters=parameters, sender=sender)
        assert said == [250] * (1 + len(names))
        assert client.data(content)[0] == 250


def test_postfix_sends(before_postfix: Gateway, postfix: Hop, start_postfix: StartSender) -> None:
    """Postfix, pipelining, through the gateway to a Postfix: sent, bounced, and sent later."""
    sender = start_postfix(before_postfix, "none")
    submit(sender.port, [ANNA, NOBODY, KARL], b"Subject: x\r\n\r\n..hi\r\n")
    sender.work_off()
    log = sender.mail_log.read_text()
    assert f"to=<{ANNA}>" in log
    assert log.count("status=sent (250 2.0.0 Ok: queued as ") == 2, log
    assert "status=bounced (host 127.0.0.1[127.0.0.1] said: 550 5.1.1 Address 'nobody@" in log
    assert "in reply to RCPT TO command" in log
    assert sorted(mail.recipient for mail in postfix.mails()) == [ANNA, KARL]
    assert {mail.body for mail in postfix.mails()} == {b".hi\n"}
    database = before_postfix.folder / "accounts.sqlite"
    database.rename(database.with_suffix(".away"))
    try:
        submit(sender.port, [ANNA], b"Subject: later\r\n\r\nhi\r\n")
        sender.work_off()
    finally:
        database.with_suffix(".away").rename(database)
    assert "status=deferred (host 127.0.0.1[127.0.0.1] said: 451 4.4.3 " in (
        sender.mail_log.read_text()
    )


def test_postfix_sends_encrypted(
    peer_folder: Path, postfix: Hop, authority: Authority, start_postfix: StartSender
) -> None:
    """Postfix that insists on verified TLS sends SMTPUTF8 and 8BITMIME mail through it."""
    pair = [authority.folder / f"server.{end}" for end in ("pem", "key")]
    lines = plugins(postfix.line, f"tls {pair[0]} {pair[1]}")
    with Gateway(peer_folder, lines) as gateway:
        sender = start_postfix(gateway, "encrypt")
        body = "zoë\r\n".encode()
        submit(
            sender.port,
            [JUERGEN],
            b"Subject: utf8\r\n\r\n" + body,
            parameters="SMTPUTF8 BODY=8BITMIME",
        )
        submit(sender.port, [ANNA], b"Subject: 8\r\n\r\n" + body, parameters="BODY=8BITMIME")
        sender.work_off()
        log = sender.mail_log.read_text()
    assert log.count("status=sent") == 2, log
    assert "Trusted TLS connection established to 127.0.0.1" in log
    assert "BODY=8BITMIME SMTPUTF8" in log
    eight, utf8 = sorted(postfix.mails(), key=lambda mail: mail.recipient)
    assert (eight.recipient, utf8.recipient) == (ANNA, JUERGEN)
    assert eight.body == utf8.body == "zoë\n".encode()
    assert b"with ESMTPS id " in eight.content
    assert b"with UTF8SMTPS id " in utf8.content


def test_exim_sends_chunks(peer_folder: Path, peers_root: Path) -> None:
    """Exim sends by BDAT, whose chunks arrive as they were, and is told 550 as everybody."""
    run = below(peers_root, "run")
    with Gateway(peer_folder, MAILDIR) as gateway:
        exim = Exim(below(peers_root, "exim"), "", run, sends_to=gateway.port)
        exim.start()
        try:
            content = b"Subject: x\r\n\r\n" + b"a line\r\n..\r\n" * 20_000
            submit(exim.port, [ANNA, NOBODY, KARL], content, sender=KARL)
            exim.work_off()
            log = exim.main_log.read_text()
        finally:
            exim.stop()
        bounce, mail = sorted(gateway.delivered(), key=len)
    assert 'K C="250 2.0.0 Queued"' in log, "K: sent in chunks"
    assert bounce.startswith(b"Return-Path: <>\nDelivered-To: karl@ours.example\n")
    assert f"** {NOBODY} " in log
    assert "550 5.1.1 Address" in log
    assert mail.count(b"Delivered-To: ") == 2
    assert mail.partition(b"\n\n")[2] == b"a line\n.\n" * 20_000
