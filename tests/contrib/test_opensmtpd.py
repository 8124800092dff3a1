"""OpenSMTPD with ``contrib/opensmtpd/smtpd.conf``, over SMTP.

The promise: never a 5xx for a known user, never an accept of an unknown one, a 4xx where it can't
be told, and in time. And smtpd lives, which any wrong word of its filter would end.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contrib.recipients import FOREIGN, KNOWN, UNKNOWN, talking
from tests.peers.check_user import StartCheckUser
from tests.peers.opensmtpd import OpenSMTPD
from tests.peers.process import alive, send, wait_until
from tests.peers.scripted_door import GARBAGE, ScriptedDoor
from tests.peers.smtp import Session

CONTRIB = Path(__file__).parents[2] / "contrib" / "opensmtpd"

REFUSED = (550, f"5.1.1 Address '{UNKNOWN}' doesn't exist on this server")
LATER = (451, "4.4.3 Internal error - try later")


@pytest.fixture
def smtpd(peer_folder: Path) -> Iterator[OpenSMTPD]:
    """A running OpenSMTPD; ``peer_folder`` is its /run/check_user, where line.sock may appear."""
    folder = peer_folder / "opensmtpd"
    folder.mkdir()
    server = OpenSMTPD(folder, (CONTRIB / "smtpd.conf").read_text(), peer_folder)
    server.start()
    yield server
    server.stop()


def timed(session: Session, address: str) -> tuple[tuple[int, str], float]:
    begin = time.monotonic()
    return session.rcpt(address), time.monotonic() - begin


RECIPIENTS: dict[str | bytes, tuple[int, str]] = {
    KNOWN: (250, ""),
    UNKNOWN: REFUSED,
    FOREIGN: (550, "Invalid recipient"),
    "KNOWN@Ours.Example": (250, ""),
    "UNKNOWN@OURS.EXAMPLE": (550, "5.1.1 Address"),
    "postmaster@ours.example": (250, ""),
    "postmaster": (550, "Invalid recipient: <postmaster@mx.example>"),
    "known": (553, "5.1.3 An address needs a domain"),
    "known|unknown@ours.example": (550, "5.1.1 Address 'known|unknown@ours.example' doesn't"),
    "known%ours.example@elsewhere.example": (550, "Invalid recipient"),
    "@one.example,@two.example:known@ours.example": (250, ""),
    "@one.example:unknown@ours.example": (550, "5.1.1 Address"),
    "junk:known@ours.example": (553, "5.1.3 Malformed address"),
    "unknown@ours.example> <known@ours.example": (550, "5.1.1 Address"),
    "a" * 65 + "@ours.example": (553, "5.1.3 Malformed address"),
    # These OpenSMTPD 6.8 refuses by itself.
    '"at,home"@ours.example': (501, "5.1.3 Recipient address syntax error"),
    "größe@ours.example": (501, "5.1.3 Recipient address syntax error"),
    "known..twice@ours.example": (501, "5.1.3 Recipient address syntax error"),
    b"known\r@ours.example": (501, "5.1.3 Recipient address syntax error"),
    b"known\xff@ours.example": (501, "5.1.3 Recipient address syntax error"),
    "": (501, "5.1.3 Recipient address syntax error"),
}
"""Recipients as they are sent, the reply's code and how its text begins."""


@pytest.mark.fault("PC08", "PC11")
def test_each_recipient_gets_its_verdict(
    smtpd: OpenSMTPD, start_check_user: StartCheckUser
) -> None:
    """Known: the rules accept; unknown: refused; malformed: refused; foreign: the rules refuse."""
    start_check_user()
    with talking(smtpd) as session:
        for path, (code, text) in RECIPIENTS.items():
            reply = session.rcpt(path)
            assert (path, reply[0]) == (path, code)
            assert not text or reply[1].startswith(text)
    assert smtpd.running


def test_sessions_at_once(smtpd: OpenSMTPD, start_check_user: StartCheckUser) -> None:
    """Thirty sessions at once, thirty recipients each: each reply is that to its own question."""
    start_check_user()

    def talk(number: int) -> None:
        with talking(smtpd) as session:
            for turn in range(15):
                assert session.rcpt(KNOWN)[0] == 250
                name = f"u{number}-{turn}@ours.example"
                assert session.rcpt(name)[1].startswith(f"5.1.1 Address '{name}'")

    with ThreadPoolExecutor(30) as pool:
        assert list(pool.map(talk, range(30))) == [None] * 30


@pytest.mark.fault("PC21")
def test_check_user_killed_and_back(smtpd: OpenSMTPD, start_check_user: StartCheckUser) -> None:
    """Killed: 4xx soon, and smtpd lives; started again: right answers, in the same session."""
    check_user = start_check_user()
    with talking(smtpd) as session:
        assert session.rcpt(KNOWN)[0] == 250
        check_user.kill()
        for address in (KNOWN, UNKNOWN, FOREIGN):
            reply, seconds = timed(session, address)
            assert reply == LATER
            assert seconds < 2
        check_user.start()
        assert session.rcpt(KNOWN)[0] == 250
        assert session.rcpt(UNKNOWN) == REFUSED
    log = smtpd.log.read_text()
    assert log.count("check_user_verdict: check_user doesn't answer (") == 1
    assert log.count("check_user_verdict: check_user answers again") == 1


@pytest.mark.fault("PC21")
def test_check_user_restarted_between_two_recipients(
    smtpd: OpenSMTPD, start_check_user: StartCheckUser
) -> None:
    """A lost question is asked again: no 4xx after a restart."""
    check_user = start_check_user()
    with talking(smtpd) as session:
        assert session.rcpt(KNOWN)[0] == 250
        check_user.restart()
        assert session.rcpt(KNOWN)[0] == 250
        check_user.restart()
        assert session.rcpt(UNKNOWN) == REFUSED


@pytest.mark.fault("PC21")
def test_smtpd_starts_before_check_user(smtpd: OpenSMTPD, start_check_user: StartCheckUser) -> None:
    """No check_user at all: smtpd starts, and recipients get 451; then it comes: right answers."""
    with talking(smtpd) as session:
        assert session.rcpt(KNOWN) == LATER
        start_check_user()
        assert session.rcpt(KNOWN)[0] == 250
        assert session.rcpt(UNKNOWN) == REFUSED


@pytest.mark.fault("PC06", "PC07", "PC16", "PC21")
def test_a_door_that_talks_garbage(smtpd: OpenSMTPD, peer_folder: Path) -> None:
    """Whatever the door says that is no answer: 451 at once, and smtpd lives."""
    with (
        ScriptedDoor(peer_folder / "line.sock", *[[answer] for answer in GARBAGE]) as door,
        talking(smtpd) as session,
    ):
        for answer in GARBAGE:
            reply, seconds = timed(session, KNOWN)
            assert (answer, reply) == (answer, LATER)
            assert seconds < 1
        assert door.connections == len(GARBAGE)
    assert smtpd.running


@pytest.mark.fault("PC16", "PC21")
def test_signals_to_the_filter(smtpd: OpenSMTPD, start_check_user: StartCheckUser) -> None:
    """The filter gets the signals that end other processes: it goes on, and smtpd with it."""
    start_check_user()
    [child] = smtpd.filters()
    with talking(smtpd) as session:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            send(child, number)
            assert session.rcpt(KNOWN)[0] == 250
            assert session.rcpt(UNKNOWN) == REFUSED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])
def test_the_filter_ends_with_smtpd(
    smtpd: OpenSMTPD, start_check_user: StartCheckUser, number: signal.Signals
) -> None:
    """smtpd ends in the middle of a question: no filter is left."""
    check_user = start_check_user()
    [child] = smtpd.filters()
    with talking(smtpd) as session:
        assert session.rcpt(KNOWN)[0] == 250
        check_user.freeze()
        session.expect_silence(f"RCPT TO:<{KNOWN}>", 0.2)
        send(smtpd.pid, number)
        assert wait_until(lambda: not alive(child), 2)
