"""What ``contrib/qpsmtpd/check_user`` makes of its connection: odd answers, lost and late ones.

The door is a script here, or check_user behind a proxy; the host is qpsmtpd, over SMTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.contrib.recipients import KNOWN, LATER, REFUSED, UNKNOWN, one_rcpt, talking
from tests.peers.check_user import CheckUser
from tests.peers.faultproxy import FaultProxy
from tests.peers.qpsmtpd import StartHost
from tests.peers.smtp import Session

START = [b"DECLINED foreign\n"]
"""The answers to the question at the host's start."""


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
