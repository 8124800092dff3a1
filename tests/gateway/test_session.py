"""The session: exceptions, loops, deadlines, and what a transaction is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from pathlib import Path

import pytest

from check_user.gateway.chain import Chain
from check_user.gateway.delivery import INTERNAL
from check_user.gateway.header import MOST_RECEIVED
from check_user.gateway.maildir import MaildirDelivery
from check_user.protocols import Lookup
from check_user.protocols.smtp import Abandon, Connect, Content, Data, End, Secured
from check_user.verdict import Verdict
from tests.gateway.asking import (
    CLIENT,
    MAIL,
    MESSAGE,
    SHORT,
    Client,
    Gateway,
    codes,
    decide,
    decide_later,
    recipient,
)

SECRET = "password=hunter2"


@pytest.fixture
async def client(gateway: Gateway) -> Client:
    return await gateway.client("queue/maildir mail")


def delivered(gateway: Gateway) -> list[bytes]:
    return [file.read_bytes() for file in (gateway.folder / "mail" / "new").iterdir()]


def left(gateway: Gateway) -> list[Path]:
    return list((gateway.folder / "mail" / "tmp").iterdir())


async def fail(*_: object, **__: object) -> None:
    raise RuntimeError(SECRET)


def fail_at_once(*_: object, **__: object) -> None:
    raise RuntimeError(SECRET)


async def test_the_greeting(client: Client) -> None:
    """Connect is answered with our name, TLS with nothing."""
    reply = await client.told(Connect(CLIENT))
    assert (reply.code, reply.lines) == (220, ("gateway.example ESMTP check_user ready",))
    assert await client.ask(Secured()) is None


@pytest.mark.fault("GW01")
@pytest.mark.parametrize("later", [False, True])
async def test_an_exception_in_a_decision(gateway: Gateway, client: Client, later: bool) -> None:
    """A check that raises is 451 with a constant text and one report; others go on."""

    def failing(lookup: Lookup) -> Verdict | Awaitable[Verdict]:
        if "fault" in lookup.text:
            return fail() if later else fail_at_once()  # type: ignore[return-value,func-returns-value] # it raises
        return decide(lookup)

    client.chain._deciding[0]._decide = failing  # type: ignore[attr-defined] # a CheckUser
    replies = await client.send(["anna@ours.example", "fault@ours.example", "nobody@ours.example"])
    assert codes(replies) == [250, 451, 550, 250]
    assert replies[1] == INTERNAL
    assert gateway.reports == [f"the gateway failed: RuntimeError: {SECRET}"]
    assert len(delivered(gateway)) == 1


@pytest.mark.fault("GW01")
@pytest.mark.parametrize("raising", [fail, fail_at_once])
@pytest.mark.parametrize("hook", ["recipient", "data", "write", "end", "hook_rcpt"])
async def test_an_exception_in_any_hook(
    gateway: Gateway,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    hook: str,
    raising: object,
) -> None:
    """Whatever raises, and wherever: 451, no mail, no secret told, and the next mail goes."""
    with monkeypatch.context() as patch:
        patch.setattr(Chain if hook == "hook_rcpt" else MaildirDelivery, hook, raising)
        replies = await client.send()
    assert replies[-1] == INTERNAL
    assert len(gateway.reports) == 1
    assert delivered(gateway) == []
    assert codes(await client.send()) == [250, 250]
    assert len(delivered(gateway)) == 1


@pytest.mark.fault("GW01")
@pytest.mark.parametrize("raising", [fail, fail_at_once])
async def test_an_exception_within_the_message(
    gateway: Gateway, client: Client, monkeypatch: pytest.MonkeyPatch, raising: object
) -> None:
    """A piece that raises has no reply; the message's end has: 451, and nothing is delivered."""
    await client.told(MAIL)
    await client.rcpt("anna@ours.example")
    await client.told(Data(chunked=False))
    with monkeypatch.context() as patch:
        patch.setattr(MaildirDelivery, "write", raising)
        assert await client.ask(Content(b"a piece\r\n")) is None
    assert await client.ask(Content(b"another\r\n")) is None
    assert await client.told(End(18)) == INTERNAL
    assert len(gateway.reports) == 1
    assert delivered(gateway) == []


@pytest.mark.fault("GW01")
async def test_an_exception_where_no_reply_is_due(
    gateway: Gateway, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Abandon is answered whatever happens."""
    with monkeypatch.context() as patch:
        patch.setattr(MaildirDelivery, "abandon", fail_at_once)
        await client.told(MAIL)
        assert await client.ask(Abandon()) is None
    assert len(gateway.reports) == 1


@pytest.mark.fault("GW17")
@pytest.mark.parametrize("later", [False, True])
async def test_mixed_verdicts(gateway: Gateway, later: bool) -> None:
    """Each recipient has its reply; the mail is for those who were accepted, and only for them."""
    gateway.decide = decide_later if later else decide
    client = await gateway.client("queue/maildir mail")
    names = ["anna", "nobody", "fault", "bad", "karl"]
    replies = await client.send([f"{name}@ours.example" for name in names])
    assert codes(replies) == [250, 550, 451, 553, 250, 250]
    assert [reply.enhanced for reply in replies[1:4]] == ["5.1.1", "4.4.3", "5.1.3"]
    (mail,) = delivered(gateway)
    assert mail.count(b"Delivered-To: ") == 2
    assert b"Delivered-To: karl@ours.example\n" in mail


async def test_what_can_be_told_at_once_is(client: Client) -> None:
    """With a verdict at hand no task is needed for a recipient."""
    await client.told(MAIL)
    for name in ("anna@ours.example", "nobody@ours.example", "anna@elsewhere.example"):
        answer = client.session.handle(recipient(name))
        assert not isinstance(answer, Awaitable)


async def test_the_deadline_of_a_recipient(gateway: Gateway) -> None:
    """A check that never answers is 451 4.4.3 in time, and reported."""
    gateway.timeouts = SHORT
    never = asyncio.Event()

    async def hang(lookup: Lookup) -> Verdict:
        await never.wait()
        return decide(lookup)

    gateway.decide = hang
    client = await gateway.client("queue/maildir mail")
    began = asyncio.get_running_loop().time()
    (reply,) = await client.send()
    assert asyncio.get_running_loop().time() - began < 1.0
    assert (reply.code, reply.enhanced) == (451, "4.4.3")
    assert len(gateway.reports) == 1


@pytest.mark.parametrize(("fields", "code"), [(MOST_RECEIVED, 250), (MOST_RECEIVED + 1, 554)])
async def test_loops(gateway: Gateway, client: Client, fields: int, code: int) -> None:
    """A message with more than 100 Received fields is in a loop: refused at its end, and gone."""
    pieces = [b"Received: by x\r\n"] * fields + [b"\r\n", b"body\r\n"]
    reply = (await client.send(content=pieces))[-1]
    assert reply.code == code
    assert reply.enhanced == ("2.0.0" if code == 250 else "5.4.6")
    assert len(delivered(gateway)) == (code == 250)
    assert codes(await client.send()) == [250, 250]


async def test_an_abandoned_mail_is_nowhere(gateway: Gateway, client: Client) -> None:
    """After Abandon, or the client's end, nothing of the mail stays."""
    for end in (Abandon(), None):
        await client.told(MAIL)
        await client.rcpt("anna@ours.example")
        await client.told(Data(chunked=False))
        await client.ask(Content(MESSAGE))
        if end is None:
            client.session.closed()
        else:
            await client.ask(end)
            assert (await client.told(Data(chunked=False))).code == 554, "no recipients are left"
    client.chain._queue.maildir.threads.shutdown()  # type: ignore[attr-defined] # a QueueMaildir
    assert delivered(gateway) == []
    assert left(gateway) == []


async def test_questions_out_of_order(client: Client) -> None:
    """A recipient without MAIL, a message without recipients: refused, never an exception."""
    assert (await client.rcpt("anna@ours.example")).code == 503
    await client.told(MAIL)
    assert (await client.told(Data(chunked=True))).code == 554
    assert await client.ask(Content(b"x")) is None
    assert (await client.told(End(1))).code == 451


async def test_cancelling_is_no_failure(gateway: Gateway) -> None:
    """A question whose client has gone is cancelled, and nobody reports that."""
    gateway.decide = decide_later
    client = await gateway.client("queue/maildir mail")
    await client.told(MAIL)
    task = asyncio.ensure_future(client.rcpt("anna@ours.example"))
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert gateway.reports == []
