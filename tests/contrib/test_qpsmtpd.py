"""qpsmtpd with ``contrib/qpsmtpd/check_user``, over SMTP: forkserver and prefork.

The promise: never a 5xx for a known user, never an accept of an unknown one, a 4xx where it can't
be told, and in time.
"""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.contrib.recipients import FOREIGN, KNOWN, LATER, REFUSED, UNKNOWN, one_rcpt, talking
from tests.peers.check_user import CheckUser
from tests.peers.mariadb import MariaDB
from tests.peers.process import NotReadyError, send, wait_until
from tests.peers.qpsmtpd import Qpsmtpd, StartHost
from tests.peers.smtp import Session

PLUGIN = Path(__file__).parents[2] / "contrib" / "qpsmtpd" / "check_user"


def test_the_original_debug_lines(host: Qpsmtpd) -> None:
    """The log has the original's two lines, each once, with the address, for those and no other."""
    with talking(host) as session:
        for address in (KNOWN, UNKNOWN, FOREIGN):
            session.rcpt(address)
    log = host.log.read_text()
    assert log.count(f"Local address '{KNOWN}'") == 1
    assert log.count(f"Foreign address '{FOREIGN}'") == 1
    assert log.count(" address '") == 2


PATHS: dict[str | bytes, int] = {
    '"at,home"@ours.example': 250,
    '"k\\nown"@ours.example': 250,
    '"not,home"@ours.example': 550,
    '"known@ours.example"@ours.example': 550,
    "größe@ours.example": 250,
    "grösse@ours.example": 550,
    "known..twice@ours.example": 550,
    "x" * 1200 + "@ours.example": 550,
    b"known\r@ours.example": 550,
    b"known\0@ours.example": 550,
    b"known\xff@ours.example": 550,
}
"""Recipients as they are sent, and the reply's code."""


@pytest.mark.fault("PC08", "PC11")
def test_the_path_is_the_clients(host: Qpsmtpd) -> None:
    """Quoted, UTF-8, malformed: check_user is asked about the very address, and answers for good.

    qpsmtpd takes the quotes off a local part; without them it would be another address. The answer
    to the next question is that question's.
    """
    with talking(host) as session:
        for path, code in PATHS.items():
            assert (path, session.rcpt(path)[0]) == (path, code)
            assert session.rcpt(KNOWN)[0] == 250
            assert session.rcpt(UNKNOWN) == REFUSED


@pytest.mark.fault("PC21")
def test_check_user_restarted_between_two_recipients(host: Qpsmtpd, check_user: CheckUser) -> None:
    """A connection that was lost without an answer is opened anew: no 4xx after a restart."""
    with talking(host) as session:
        assert session.rcpt(KNOWN)[0] == 250
        check_user.restart()
        assert session.rcpt(KNOWN)[0] == 250
        check_user.restart()
        assert session.rcpt(UNKNOWN) == REFUSED


def test_its_manual_is_sound() -> None:
    """``perldoc check_user`` shows the manual without complaints."""
    subprocess.run(["podchecker", "-warnings", PLUGIN], check=True)


def test_no_start_without_check_user(peer_folder: Path, start_host: StartHost) -> None:
    """Nobody at the socket: qpsmtpd ends before it listens, and says why."""
    with pytest.raises(NotReadyError, match=r"check_user: no answer at .*: can't connect: No such"):
        start_host(peer_folder / "nobody")


def test_no_start_with_check_user_hung(check_user: CheckUser, start_host: StartHost) -> None:
    """check_user hangs: qpsmtpd ends, by the plugin's limit."""
    check_user.freeze()
    with pytest.raises(NotReadyError, match=r"check_user: no answer at .*: no answer in time"):
        start_host(check_user.line, "timeout 0.5")


def test_no_start_without_the_database(
    check_user: CheckUser, accounts: MariaDB, start_host: StartHost
) -> None:
    """check_user runs and can't tell: qpsmtpd ends, and says so."""
    accounts.kill()
    with pytest.raises(NotReadyError, match=r"check_user: it can't tell who is there"):
        start_host(check_user.line)


@pytest.mark.parametrize(
    "arguments", ["timeout", "timeout soon", "timeout -1", "socket line.sock", "colour red"]
)
def test_no_start_with_wrong_arguments(
    peer_folder: Path, start_host: StartHost, arguments: str
) -> None:
    """An argument that is unknown, without a value or with a wrong one: qpsmtpd ends."""
    with pytest.raises(NotReadyError, match=r"check_user: .*(argument|number|absolute)"):
        start_host(peer_folder / "nobody", arguments)


def test_a_reload_without_check_user_ends_nobody(host: Qpsmtpd, check_user: CheckUser) -> None:
    """SIGHUP while check_user is away: the host goes on, with 4xx; check_user back: 250."""
    check_user.stop()
    with talking(host) as session:
        send(host.pid, signal.SIGHUP)
        assert session.rcpt(KNOWN) == LATER
    # prefork ends its idle children at SIGHUP, and one of them may just have taken a connection.
    assert wait_until(lambda: is_greeted(host), 5.0)
    with talking(host) as session:
        assert session.rcpt(KNOWN) == LATER
        check_user.start()
        assert session.rcpt(KNOWN)[0] == 250
    assert host.running


def is_greeted(host: Qpsmtpd) -> bool:
    """Whether the host takes three sessions one after the other."""
    try:
        for _ in range(3):
            Session(host.port).close()
    except ConnectionError:
        return False
    return True


REWRITE = """\
sub hook_rcpt {
    my ($self, $transaction, $recipient) = @_;
    $recipient->user("known\\@ours.example\\nunknown");
    return DECLINED;
}
"""


@pytest.mark.fault("PC08")
def test_a_question_is_one_line(
    check_user: CheckUser, start_host: StartHost, peer_folder: Path
) -> None:
    """A line feed in an address, which only another plugin can put there: not two questions."""
    rewrite = peer_folder / "rewrite"
    rewrite.write_text(REWRITE)
    host = start_host(check_user.line, before=rewrite)
    assert one_rcpt(host) == (550, "Malformed address")
    assert "Local address" not in host.log.read_text()
