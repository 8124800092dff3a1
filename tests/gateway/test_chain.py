"""The file ``plugins``: what starts, what doesn't, and who decides."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from check_user.gateway.delivery import Transaction
from check_user.gateway.error import GatewayError
from check_user.gateway.plugins import Code, Decision
from check_user.protocols import Lookup
from check_user.protocols.smtp import Recipient
from check_user.verdict import Verdict
from tests.gateway.asking import MAIL, Client, Gateway, codes, decide, decide_later, recipient
from tests.peers.certificates import Authority

QUEUE = "queue/maildir mail\n"


@pytest.mark.parametrize(
    ("plugins", "line", "message"),
    [
        ("check_user\nspamassassin reject 12\n" + QUEUE, 2, "no plugin 'spamassassin'"),
        ("relay\n" + QUEUE, 1, "rcpt_ok reads relayclients itself"),
        ("rcpt_ok\n\ncheck_user\n" + QUEUE, 3, "must stand before rcpt_ok"),
        ("check_user\nrcpt_ok\n", 0, "no queue plugin"),
        ("", 0, "no plugin"),
        (QUEUE + "# and\nqueue/smtp-forward 127.0.0.1\n", 3, "a queue plugin already"),
        (QUEUE + QUEUE, 2, "stands on line 1 already"),
        ("check_user yes\n" + QUEUE, 1, "takes no arguments"),
        ("rcpt_ok yes\n" + QUEUE, 1, "takes no arguments"),
        ("queue/maildir\n", 1, "wants one folder"),
        ("queue/maildir a b\n", 1, "wants one folder"),
        ("queue/smtp-forward\n", 1, "HOST PORT"),
        ("queue/smtp-forward 127.0.0.1 smtp\n", 1, "HOST PORT"),
        ("queue/smtp-forward 127.0.0.1 0\n", 1, "HOST PORT"),
        ("queue/smtp-forward 127.0.0.1 65536\n", 1, "HOST PORT"),
        ("queue/smtp-forward 127.0.0.1 25 xclient\n", 1, "HOST PORT"),
        ("queue/smtp-forward a_b..c 25\n", 1, "is no host"),
        ("queue/smtp-forward 127.0.0.1 lmtp\n", 1, "HOST PORT"),
        ("queue/smtp-forward unix:relative lmtp\n", 1, "HOST PORT"),
        (f"queue/smtp-forward unix:/{'x' * 110} lmtp\n", 1, "107 octets"),
        ("tls nowhere.crt nowhere.key\n" + QUEUE, 1, "nowhere.crt: No such file"),
        ("tls\n" + QUEUE, 1, "tls CERT KEY"),
        ("tls plugins plugins\n" + QUEUE, 1, "tls: "),
        ("check_user\x01\n" + QUEUE, 1, "printable"),
        ("chéck_user\n" + QUEUE, 1, "printable"),
    ],
)
def test_a_file_that_cannot_be_meant(
    gateway: Gateway, plugins: str, line: int, message: str
) -> None:
    """A chain that isn't what its author thinks doesn't start; the error names the line."""
    with pytest.raises(GatewayError) as caught:
        gateway.chain(plugins)
    assert caught.value.line == line
    assert caught.value.file == gateway.folder / "plugins"
    assert message in caught.value.message


def test_tls(gateway: Gateway, tmp_path: Path) -> None:
    """With 'tls CERT KEY' there is a context with that certificate, TLS 1.2 at least."""
    assert gateway.chain(QUEUE).tls is None
    authority = Authority(tmp_path, "authority").found()
    one, other = (authority.issue(name, "DNS:mx.example") for name in ("one", "other"))
    chain = gateway.chain(f"tls {one.cert} {one.key}\n{QUEUE}")
    assert chain.tls is not None
    assert chain.tls.minimum_version is ssl.TLSVersion.TLSv1_2
    with pytest.raises(GatewayError, match="mismatch"):
        gateway.chain(f"tls {one.cert} {other.key}\n{QUEUE}")


@pytest.mark.parametrize(
    ("plugins", "words"),
    [
        ("check_user\nrcpt_ok\n", []),
        ("rcpt_ok\n", ["no check_user"]),
        ("check_user\n", ["no rcpt_ok"]),
        ("", ["no check_user", "no rcpt_ok"]),
    ],
)
async def test_what_is_seldom_meant(gateway: Gateway, plugins: str, words: list[str]) -> None:
    """A file that names no check_user, or no rcpt_ok, is served, and told of once."""
    chain = gateway.chain(plugins + QUEUE)
    assert not gateway.reports
    await chain.start()
    try:
        assert len(gateway.reports) == len(words)
        for told, word in zip(gateway.reports, words, strict=True):
            assert told.startswith(f"{gateway.folder}/plugins: there is {word} ")
    finally:
        await chain.aclose()


async def test_a_recipient_nobody_decides_on(gateway: Gateway) -> None:
    """Without rcpt_ok nobody says OK: 450, as in qpsmtpd; check_user still says no."""
    chain = gateway.chain(f"check_user\n{QUEUE}")
    await chain.start()
    client = Client(chain)
    gateway.clients.append(client)
    replies = await client.send(["anna@ours.example", "nobody@ours.example"])
    assert codes(replies) == [450, 550]
    assert replies[0].lines == ("No plugin decided if relaying is allowed",)


@pytest.mark.fault("GW19")
@pytest.mark.parametrize("later", [False, True])
async def test_who_may_be_written_to(gateway: Gateway, later: bool) -> None:
    """Our domains in every spelling, and postmaster; all else is relaying, for those who may."""
    if later:
        gateway.decide = decide_later
    gateway.folder.joinpath("relayclients").write_text("192.0.2.7\n")
    chain = gateway.chain(
        f"check_user\nrcpt_ok\n{QUEUE}", rcpthosts="ours.example\nxn--bcher-kva.example\n"
    )

    async def decision(text: str, client: str) -> Decision:
        answer = chain.hook_rcpt(Transaction(MAIL), Recipient(text, (), client))
        return answer if isinstance(answer, Decision) else await answer

    for text, code in {
        "<anna@ours.example>": Code.OK,
        "<anna@OURS.example.>": Code.OK,
        "<@relay.example:anna@bücher.example>": Code.OK,
        "<postmaster@xn--bcher-kva.example>": Code.OK,
        "<Postmaster>": Code.OK,
        "<root>": Code.DENY,
        "<anna@elsewhere.example>": Code.DENY,
        '<"@ours.example"@elsewhere.example>': Code.DENY,
        "<anna@[x:@ours.example]>": Code.DENY,
        "<anna@>": Code.DENY,
    }.items():
        assert (await decision(text, "192.0.2.8")).code is code, text
        assert (await decision(text, "192.0.2.7")).code is Code.OK, text
    told = await decision("<nobody@ours.example>", "192.0.2.7")
    assert told.reply is not None
    assert told.reply.code == 550, "a relay client's recipients are looked up like anyone's"
    denied = (await decision("<anna@elsewhere.example>", "")).reply
    assert denied is not None
    assert (denied.code, denied.enhanced, denied.lines) == (550, "5.7.1", ("Relaying denied",))


async def test_the_text_is_handed_on(gateway: Gateway) -> None:
    """What check_user decides about is the very text that came, with the client's address."""
    seen: list[Lookup] = []

    def remember(lookup: Lookup) -> Verdict:
        seen.append(lookup)
        return decide(lookup)

    gateway.decide = remember
    chain = gateway.chain(f"check_user\nrcpt_ok\n{QUEUE}")
    chain.hook_rcpt(Transaction(MAIL), recipient(" odd@ours.example"))
    assert [(each.text, each.client) for each in seen] == [("< odd@ours.example>", "192.0.2.7")]
