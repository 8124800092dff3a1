"""qpsmtpd with ``contrib/qpsmtpd/check_user``, over SMTP: forkserver and prefork.

The promise: never a 5xx for a known user, never an accept of an unknown one, a 4xx where it can't
be told, and in time.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest

from tests.peers.check_user import CheckUser, StartCheckUser
from tests.peers.faultproxy import FaultProxy
from tests.peers.mariadb import MariaDB
from tests.peers.process import NotReadyError, send, wait_until
from tests.peers.qpsmtpd import ARGUMENTS, Qpsmtpd
from tests.peers.smtp import OUTSIDER, RELAY_CLIENT, Session

CONTRIB = Path(__file__).parents[2] / "contrib" / "qpsmtpd"
SOCKET = "/run/check_user/line.sock"

KNOWN = "known@ours.example"
UNKNOWN = "unknown@ours.example"
FOREIGN = "somebody@elsewhere.example"

IN_TIME = 4.5
"""Seconds: the plugin's own limit and half a second for a busy machine."""

REFUSED = (550, f"Address '{UNKNOWN}' doesn't exist on this server")
LATER = (450, "Internal error - try later")

StartHost = Callable[..., Qpsmtpd]


@pytest.fixture(params=sorted(ARGUMENTS))
def start_host(request: pytest.FixtureRequest, peer_folder: Path) -> Iterator[StartHost]:
    """Start qpsmtpd with what ``contrib/qpsmtpd`` says, the socket's path put in.

    ``before`` is a further plugin, called before check_user.
    """
    started: list[Qpsmtpd] = []

    def start(
        socket: Path, arguments: str = "", *, before: Path | None = None, logger: bool = False
    ) -> Qpsmtpd:
        plugins = (CONTRIB / "plugins").read_text()
        assert plugins.count(SOCKET) == 1
        plugins = plugins.replace(SOCKET, f"{socket} {arguments}".rstrip())
        folder = peer_folder / f"host{len(started)}"
        folder.mkdir()
        files = [CONTRIB / "check_user"]
        if before is not None:
            files.append(before)
            plugins = f"{before.name}\n{plugins}"
        host = Qpsmtpd(folder, request.param, plugins, plugin_files=files, logger=logger)
        started.append(host)
        host.start()
        return host

    yield start
    for host in started:
        host.stop()


@pytest.fixture
def check_user(start_check_user: StartCheckUser) -> CheckUser:
    return start_check_user()


@pytest.fixture
def host(check_user: CheckUser, start_host: StartHost) -> Qpsmtpd:
    return start_host(check_user.line)


@contextmanager
def talking(host: Qpsmtpd, source: str = OUTSIDER) -> Iterator[Session]:
    """A session of ``source``, after MAIL."""
    with Session(host.port, source) as session:
        session.mail()
        yield session


def one_rcpt(host: Qpsmtpd) -> tuple[int, str]:
    with talking(host) as session:
        return session.rcpt(KNOWN)


def timed(session: Session, address: str) -> tuple[tuple[int, str], float]:
    begin = time.monotonic()
    return session.rcpt(address), time.monotonic() - begin


def test_each_recipient_gets_its_verdict(host: Qpsmtpd) -> None:
    """Known: the next plugin accepts; unknown: refused; foreign: the next plugin refuses it."""
    with talking(host) as session:
        assert session.rcpt(KNOWN)[0] == 250
        assert session.rcpt(UNKNOWN) == REFUSED
        assert session.rcpt(FOREIGN) == (550, "Relaying denied (#5.7.1)")
        assert session.rcpt("KNOWN@Ours.Example")[0] == 250


def test_relay_clients_recipients_are_looked_up_too(host: Qpsmtpd) -> None:
    """A client that may relay: its foreign recipients pass, our unknown ones don't."""
    with talking(host, RELAY_CLIENT) as session:
        assert session.rcpt(FOREIGN)[0] == 250
        assert session.rcpt(UNKNOWN) == REFUSED
        assert session.rcpt(KNOWN)[0] == 250


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


@pytest.mark.fault("DB01", "DB12")
def test_the_database_killed_and_back(host: Qpsmtpd, accounts: MariaDB) -> None:
    """Killed: 4xx for the known and the unknown; back: the right answers within two seconds."""
    with talking(host) as session:
        assert session.rcpt(KNOWN)[0] == 250
        accounts.kill()
        for address in (KNOWN, UNKNOWN, FOREIGN):
            reply, seconds = timed(session, address)
            assert reply == LATER
            assert seconds < IN_TIME
        accounts.start()
        assert wait_until(lambda: session.rcpt(KNOWN)[0] == 250, 2)
        assert session.rcpt(UNKNOWN) == REFUSED


@pytest.mark.fault("DB02", "DB03")
def test_the_database_frozen_and_back(host: Qpsmtpd, accounts: MariaDB) -> None:
    """Frozen: 4xx in check_user's own time; thawed: the right answers within two seconds."""
    with talking(host) as session:
        accounts.freeze()
        for address in (KNOWN, UNKNOWN):
            reply, seconds = timed(session, address)
            assert reply == LATER
            assert seconds < IN_TIME
        accounts.thaw()
        assert wait_until(lambda: session.rcpt(KNOWN)[0] == 250, 2)
        assert session.rcpt(UNKNOWN) == REFUSED


@pytest.mark.fault("PC21")
def test_check_user_killed_and_back(host: Qpsmtpd, check_user: CheckUser) -> None:
    """Killed: 4xx at once; started again: right answers, in the same session."""
    with talking(host) as session:
        assert session.rcpt(KNOWN)[0] == 250
        check_user.kill()
        for address in (KNOWN, UNKNOWN, FOREIGN):
            reply, seconds = timed(session, address)
            assert reply == LATER
            assert seconds < 1
        check_user.start()
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


@pytest.mark.fault("PC21")
def test_check_user_hung_and_back(host: Qpsmtpd, check_user: CheckUser) -> None:
    """Hung: 4xx within the plugin's limit, in new sessions too; it goes on: right answers."""
    with talking(host) as session:
        assert session.rcpt(KNOWN)[0] == 250
        check_user.freeze()
        reply, seconds = timed(session, KNOWN)
        assert reply == LATER
        assert seconds < IN_TIME
        with talking(host) as another:
            reply, seconds = timed(another, UNKNOWN)
            assert reply == LATER
            assert seconds < IN_TIME
        check_user.thaw()
        assert session.rcpt(UNKNOWN) == REFUSED
        assert session.rcpt(KNOWN)[0] == 250


def test_its_manual_is_sound() -> None:
    """``perldoc check_user`` shows the manual without complaints."""
    subprocess.run(["podchecker", "-warnings", CONTRIB / "check_user"], check=True)


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
    with talking(host) as session:
        assert session.rcpt(KNOWN) == LATER
        check_user.start()
        assert session.rcpt(KNOWN)[0] == 250
    assert host.running


START = [b"DECLINED foreign\n"]
"""The answers to the question at the host's start."""

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


def open_to_all(path: Path) -> None:
    """Let qpsmtpd's account connect."""
    path.chmod(0o666)


@asynccontextmanager
async def door(path: Path, *connections: Sequence[bytes]) -> AsyncIterator[list[bytes]]:
    """A ``line`` door that says what it is told: for each connection the answers one by one.

    ``b""`` closes instead. The last answer is repeated, and so is the last connection. Yields the
    questions.
    """
    questions: list[bytes] = []
    scripts = list(connections)
    tasks: set[asyncio.Task[object]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        answers = list(scripts.pop(0) if len(scripts) > 1 else scripts[0])
        with suppress(asyncio.CancelledError):  # at the end: a child keeps its connection
            while question := await reader.readline():
                questions.append(question)
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                if not answer:
                    break
                writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(serve, path)
    open_to_all(path)
    async with server:
        yield questions
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\n",
        b"OK\n",
        b"DECLINED\n",
        b"DECLINED \n",
        b"DECLINED maybe\n",
        b"DECLINED known\r\n",
        b"declined known\n",
        b"DENY\n",
        b"DENY \n",
        b"DENYHARD Address 'known@ours.example' doesn't exist on this server\n",
        b"DENY Address\0\n",
        b"DENY \xff\xfe\n",
        b"DECLINED known\nDECLINED known\n",
        b"DENY no\nDENY no\n",
        b"DENY " + b"x" * 2000 + b"\n",
        b"\x16\x03\x01\x02\0\n",
        b"500 5.5.1 what?\n",
    ],
)
@pytest.mark.fault("PC06", "PC07", "PC21")
async def test_an_answer_that_isnt_understood(
    start_host: StartHost, peer_folder: Path, answer: bytes
) -> None:
    """Whatever else the door says is 4xx, and the log has the reason."""
    path = peer_folder / "door"
    async with door(path, START, [answer]):
        host = await asyncio.to_thread(start_host, path)
        assert await asyncio.to_thread(one_rcpt, host) == LATER
    assert "check_user: no verdict: " in host.log.read_text()


@pytest.mark.fault("PC21")
async def test_a_fault_with_a_logging_plugin(start_host: StartHost, peer_folder: Path) -> None:
    """4xx with a logging plugin too: it changes what a plugin that dies leads to."""
    path = peer_folder / "door"
    async with door(path, START, [b""]):
        host = await asyncio.to_thread(start_host, path, logger=True)
        assert await asyncio.to_thread(one_rcpt, host) == LATER


@pytest.mark.parametrize(
    ("answer", "reply"),
    [(b"DENYSOFT Not now\n", (450, "Not now")), (b"DENY Not ever\n", (550, "Not ever"))],
)
async def test_the_words_of_the_door(
    start_host: StartHost, peer_folder: Path, answer: bytes, reply: tuple[int, str]
) -> None:
    """DENY and DENYSOFT carry the door's text to the client; the question is the bare address."""
    path = peer_folder / "door"
    async with door(path, START, [answer]) as questions:
        host = await asyncio.to_thread(start_host, path)
        assert await asyncio.to_thread(one_rcpt, host) == reply
    assert questions == [b"postmaster@check-user.invalid\n", b"known@ours.example\n"]


async def test_a_lost_question_is_asked_again(start_host: StartHost, peer_folder: Path) -> None:
    """A kept connection that ends instead of answering: the question is asked on a new one."""
    path = peer_folder / "door"
    async with door(path, START, [b"DECLINED known\n", b""], [b"DENY No\n"]) as questions:
        host = await asyncio.to_thread(start_host, path)

        def two() -> list[int]:
            with talking(host) as session:
                return [session.rcpt(KNOWN)[0], session.rcpt(KNOWN)[0]]

        assert await asyncio.to_thread(two) == [250, 550]
    assert len(questions) == 4


async def test_a_lost_question_is_asked_again_once(
    start_host: StartHost, peer_folder: Path
) -> None:
    """A new connection that ends without an answer isn't tried again and again."""
    path = peer_folder / "door"
    async with door(path, START, [b""]) as questions:
        host = await asyncio.to_thread(start_host, path)
        assert await asyncio.to_thread(one_rcpt, host) == LATER
    assert len(questions) == 2


async def test_a_child_keeps_one_connection(
    start_host: StartHost, check_user: CheckUser, peer_folder: Path
) -> None:
    """One connection for all recipients of a session; none is shared between sessions (DB17)."""
    async with FaultProxy(check_user.line, peer_folder / "proxy") as proxy:
        open_to_all(peer_folder / "proxy")
        host = await asyncio.to_thread(start_host, peer_folder / "proxy")
        start = len(proxy.connections)

        def two_at_once() -> None:
            with talking(host) as first, talking(host) as second:
                for _ in range(20):
                    assert first.rcpt(KNOWN)[0] == 250
                    assert second.rcpt(UNKNOWN) == REFUSED

        await asyncio.to_thread(two_at_once)
        assert len(proxy.connections) - start == 2


@pytest.mark.fault("DB04")
async def test_a_late_answer_is_nobodys(
    start_host: StartHost, check_user: CheckUser, peer_folder: Path
) -> None:
    """An answer that comes after the limit doesn't become that of the next question."""
    async with FaultProxy(check_user.line, peer_folder / "proxy") as proxy:
        open_to_all(peer_folder / "proxy")
        host = await asyncio.to_thread(start_host, peer_folder / "proxy", "timeout 0.5")

        def begin() -> Session:
            session = Session(host.port)
            session.mail()
            assert session.rcpt(KNOWN)[0] == 250
            return session

        with await asyncio.to_thread(begin) as session:
            proxy.pause()
            assert await asyncio.to_thread(session.rcpt, UNKNOWN) == LATER
            proxy.resume()
            assert (await asyncio.to_thread(session.rcpt, KNOWN))[0] == 250
            assert await asyncio.to_thread(session.rcpt, UNKNOWN) == REFUSED
