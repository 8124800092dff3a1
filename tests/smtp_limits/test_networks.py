"""Limits for the network of a client, in the service as it runs: several processes, a reload."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.app.serving import Line
from tests.peers.process import descendants
from tests.smtp_limits.serving import KNOWN, UNKNOWN, SmtpServing

PROXIES = {"smtp_proxies": "127.0.0.0/8"}
TOO_MANY = b"421 4.7.0 gateway.example Too many connections from your network\r\n"

workers = pytest.mark.parametrize("workers", ["1", "2"])


def near(number: int) -> str:
    """An address of one network."""
    return f"192.0.2.{number % 256}"


@pytest.mark.fault("GW11")
@workers
def test_clients(tmp_path: Path, workers: str) -> None:
    """A network has so many connections at a time, in all processes; others have theirs."""
    limits = {**PROXIES, "smtp_max_per_network": "10", "workers": workers}
    with SmtpServing(tmp_path, **limits) as serving, ExitStack() as crowd:
        clients = [crowd.enter_context(serving.client(near(number))) for number in range(15)]
        greetings = [client.greeting for client in clients]
        assert (
            greetings == [b"220 gateway.example ESMTP check_user ready\r\n"] * 10 + [TOO_MANY] * 5
        )
        assert all(client.reply() == b"" for client in clients[10:])
        elsewhere = crowd.enter_context(serving.client("2001:db8::1")).begin()
        assert elsewhere.rcpt(KNOWN) == 250
        assert clients[0].ask(b"QUIT").startswith(b"221 ")
        assert clients[0].reply() == b""
        assert crowd.enter_context(serving.client(near(1))).greeting.startswith(b"220 ")


def test_a_reload_counts_on(tmp_path: Path) -> None:
    """Clients from before a reload count after it, against its limit, and leave as ever."""
    with (
        SmtpServing(tmp_path, **PROXIES, smtp_max_per_network="10") as serving,
        ExitStack() as crowd,
    ):
        before = [crowd.enter_context(serving.client(near(1))) for _ in range(5)]
        conf = tmp_path / "check_user.conf"
        conf.write_text(conf.read_text().replace("per_network=10", "per_network=5"))
        serving.reload()
        assert crowd.enter_context(serving.client(near(1))).greeting == TOO_MANY
        assert before[0].ask(b"QUIT").startswith(b"221 ")
        assert before[0].reply() == b""
        assert crowd.enter_context(serving.client(near(1))).greeting.startswith(b"220 ")


def test_this_host_has_no_limit(tmp_path: Path) -> None:
    """This host's clients are as many as they are, and guess as they like."""
    with (
        SmtpServing(tmp_path, smtp_max_per_network="1", smtp_max_unknown_per_hour="1") as serving,
        ExitStack() as crowd,
    ):
        clients = [crowd.enter_context(serving.client()).begin() for _ in range(5)]
        assert [client.rcpt(UNKNOWN) for client in clients] == [550] * 5


@pytest.mark.fault("GW11")
def test_relay_clients_and_proxies_have_no_limit(tmp_path: Path) -> None:
    """Relay clients and the proxies' own connections aren't limited by their network."""
    (tmp_path / "relayclients").write_text("192.0.2.\n")
    limits = {"smtp_max_per_network": "1", "smtp_proxies": "127.0.0.0/8 198.51.100.0/24"}
    with SmtpServing(tmp_path, **limits) as serving, ExitStack() as crowd:
        for address in [near(1)] * 3 + ["198.51.100.7"] * 3:
            assert crowd.enter_context(serving.client(address)).greeting.startswith(b"220 ")


@pytest.mark.fault("AB01")
@workers
def test_a_harvest(tmp_path: Path, workers: str) -> None:
    """Of 400 guesses of one network 100 are 550, the others 450; who exists is 250 throughout.

    Twenty in a session end it, whatever they are told: so it takes as many sessions as it takes.
    """
    told: list[int] = []
    with SmtpServing(tmp_path, **PROXIES, workers=workers) as serving:
        for session in range(20):
            with serving.client(near(session)).begin() as client:
                for _ in range(19):
                    told.append(client.rcpt(UNKNOWN))
                    assert client.rcpt(KNOWN) == 250
                told.append(client.rcpt(UNKNOWN))
                assert client.reply().startswith(b"421 4.7.0 ")
        assert told == [550] * 100 + [450] * 300
        with serving.client("198.51.100.1").begin() as elsewhere:
            assert [elsewhere.rcpt(path) for path in (KNOWN, UNKNOWN)] == [250, 550]


@pytest.mark.fault("AB01")
@pytest.mark.parametrize("code", [421, 450, 550])
def test_the_reply_to_who_guesses(tmp_path: Path, code: int) -> None:
    """The site says what a network that has guessed too often is told of whoever isn't there, the
    address in it as the client wrote it; who exists is taken as ever, and twenty end a session."""
    class_ = code // 100
    keys = {
        "smtp_max_unknown_per_hour": "1",
        "code_harvest": f"{code} {class_}.7.28",
        "text_harvest": "Ask no more for {address}",
    }
    with SmtpServing(tmp_path, **PROXIES, **keys) as serving:
        with serving.client(near(1)).begin() as client:
            assert client.ask(b"RCPT TO:" + UNKNOWN).startswith(b"550 5.1.1 ")
        with serving.client(near(2)).begin() as client:
            assert client.rcpt(KNOWN) == 250
            told = client.ask(b"RCPT TO:<No\xc3\xb6ne@example.org>")
            assert told.startswith(b"553 ")
            told = client.ask(b"RCPT TO:<NoBody@example.org>")
            assert told == b"%d %d.7.28 Ask no more for NoBody@example.org\r\n" % (code, class_)
            if code == 421:
                assert client.reply() == b""
                return
            assert client.rcpt(KNOWN) == 250
            assert [client.rcpt(UNKNOWN) for _ in range(19)] == [code] * 19
            assert client.reply().startswith(b"421 4.7.0 ")


@pytest.mark.fault("OS09")
def test_a_worker_dies(tmp_path: Path) -> None:
    """A worker that is killed takes its clients with it: they don't count against their network."""
    limits = {**PROXIES, "smtp_max_per_network": "4", "workers": "2"}
    with SmtpServing(tmp_path, **limits) as serving, ExitStack() as crowd:
        clients = [crowd.enter_context(serving.client(near(1))) for _ in range(4)]
        for worker in descendants(serving.process.pid):
            os.kill(worker, signal.SIGKILL)
        assert all(client.reply() == b"" for client in clients)
        again = [crowd.enter_context(serving.client(near(1))).greeting[:3] for _ in range(4)]
        assert again == [b"220"] * 4


@pytest.mark.fault("AB03")
def test_what_is_logged_of_a_session(tmp_path: Path) -> None:
    """Control characters that a client sends reach neither the log nor its own reply."""
    paths = (b'<"\x1b[2J"@example.org>', b"<a\x07b@example.org>", "<\u202eb@example.org>".encode())
    with SmtpServing(tmp_path) as serving:
        with serving.client().begin() as client:
            replies = [client.ask(b"RCPT TO:" + path) for path in paths]
        assert all(reply[:1] == b"5" and reply[:-2].isascii() for reply in replies)
        assert all(reply[:-2].decode().isprintable() for reply in replies)
    lines = serving.log.read_bytes().split(b"\n")
    assert all(line.isascii() and line.decode().isprintable() for line in lines)


@pytest.mark.fault("AB01")
def test_other_doors_know_no_guesses(tmp_path: Path) -> None:
    """The limits are the gateway's: a mail server asks for all of its clients at another door."""
    with SmtpServing(tmp_path, smtp_max_unknown_per_hour="1") as serving:
        conf = tmp_path / "check_user.conf"
        conf.write_text(conf.read_text() + f"listen=line unix:{tmp_path}/line.sock\n")
        serving.reload()
        with Line(tmp_path / "line.sock") as line:
            assert all(line.ask("nobody@example.org").startswith("DENY ") for _ in range(5))
