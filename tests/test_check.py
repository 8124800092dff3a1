"""The check: what becomes of what a directory says, and of what it doesn't say."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import pytest

from check_user.address import Address, Domain
from check_user.check import Check, Decision
from check_user.directory import Presence, Status, Trace, Unavailable
from check_user.verdict import FAULT, MALFORMED, Action, Reason, Replies, Reply, Verdict

TIMEOUT = 0.2


@dataclass
class Memory:
    """A directory of a set of keys; waits for ``delay``, raises ``failure``, notes who is asked."""

    keys: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset({"x.example"})
    failure: BaseException | None = None
    delay: float = 0.0
    asked: list[str] = field(default_factory=list)

    async def find(self, address: Address, trace: Trace | None = None) -> Presence:
        await self._ask(address.key)
        if address.key in self.keys:
            return Presence.KNOWN
        return Presence.UNKNOWN if address.domain.key in self.domains else Presence.FOREIGN

    async def find_domain(self, domain: Domain, trace: Trace | None = None) -> Presence:
        await self._ask(domain.key)
        return Presence.KNOWN if domain.key in self.domains else Presence.FOREIGN

    async def _ask(self, key: str) -> None:
        self.asked.append(key)
        await asyncio.sleep(self.delay)
        if self.failure is not None:
            raise self.failure

    def status(self) -> Status:
        return Status(available=True, sentence="")

    async def aclose(self) -> None:
        pass


def memory(*keys: str) -> Memory:
    return Memory(frozenset(keys))


async def decide(directory: Memory, text: str, delimiters: str = "") -> Decision:
    return await Check(directory, timeout=TIMEOUT, delimiters=delimiters).recipient(text)


async def reason(directory: Memory, text: str, delimiters: str = "") -> Reason:
    return (await decide(directory, text, delimiters)).verdict.reason


async def test_the_verdicts() -> None:
    """Known and foreign are DECLINED, unknown is DENY; the texts are the original's, with the
    canonical address."""
    directory = memory("anna@x.example")
    verdicts = [
        (await decide(directory, text)).verdict
        for text in ("<Anna@X.example>", "bert@X.example", "anna@y.example")
    ]
    assert verdicts == [
        Verdict(Action.DECLINED, Reason.KNOWN, 250, "2.1.5", "Local address 'anna@x.example'"),
        Verdict(
            Action.DENY,
            Reason.UNKNOWN,
            550,
            "5.1.1",
            "Address 'bert@x.example' doesn't exist on this server",
        ),
        Verdict(Action.DECLINED, Reason.FOREIGN, 250, "2.1.5", "Foreign address 'anna@y.example'"),
    ]


async def test_a_text_is_ascii() -> None:
    """An address beyond ASCII is told in ASCII; the decision has its key as it is."""
    decision = await decide(memory(), "zoë@x.example")
    assert decision.verdict.text == "Address 'zo\\x{EB}@x.example' doesn't exist on this server"
    assert decision.address == "zoë@x.example"


async def test_postmaster() -> None:
    """``postmaster`` alone is known without a question; at a domain of ours it is never refused,
    and at another's it is foreign. Nobody else is so."""
    directory = memory()
    assert await reason(directory, "postmaster") is Reason.KNOWN
    assert await reason(directory, "<PostMaster>") is Reason.KNOWN
    assert directory.asked == []
    assert await reason(directory, "Postmaster@X.example") is Reason.KNOWN
    assert await reason(directory, '"postmaster"@x.example') is Reason.KNOWN
    assert await reason(directory, "postmaster@y.example") is Reason.FOREIGN
    assert await reason(directory, "postmasters@x.example") is Reason.UNKNOWN
    assert await reason(directory, "abuse@x.example") is Reason.UNKNOWN


async def test_a_fault_at_postmaster() -> None:
    """Also for ``postmaster`` nobody can tell without a directory: the domain may be another's."""
    directory = Memory(failure=Unavailable("away"))
    assert await reason(directory, "postmaster@x.example") is Reason.FAULT


async def test_a_name_without_a_domain() -> None:
    """A name without a domain is not ours to judge, and nobody is asked."""
    directory = memory("root@x.example")
    assert await reason(directory, "root") is Reason.FOREIGN
    assert directory.asked == []


BAD = {
    "NUL": "a\0b@x.example",
    "NUL at the end": "anna@x.example\0",
    "NUL in quotes": '"a\\\0b"@x.example',
    "control": "anna\r\n@x.example",
    "invalid UTF-8": b"\xffanna@x.example".decode(errors="surrogateescape"),
    "a lone surrogate": "anna\ud800@x.example",
    "ideographic full stop": "anna@x。example",
    "account of": "anna@℀.example",
    "soft hyphen": "anna@x.ex\u00adample",
    "full width": "anna@ｘ.example",
    "Kelvin sign": "anna@\u212aarl.example",
    "a local part of 65 octets": "a" * 65 + "@x.example",
    "an address of 255 octets": "a@" + "b." * 126 + "b",
    "nothing": "",
    "20 MB": "a" * 20_000_000 + "@x.example",
    "20 MB in quotes": '"' + "\\a" * 10_000_000 + '"@x.example',
}


@pytest.mark.fault("SQ12", "SQ13", "SQ20", "SQ21")
@pytest.mark.parametrize("bad", BAD)
async def test_a_malformed_address_is_a_definite_answer(bad: str) -> None:
    """What can't be an address is refused for good, without asking a directory that may be away."""
    directory = Memory(failure=Unavailable("away"))
    decision = await decide(directory, BAD[bad])
    assert decision.verdict == MALFORMED
    assert decision.verdict.action is Action.DENY
    assert decision.cause.isprintable()
    assert directory.asked == []


@pytest.mark.parametrize(
    "failure",
    [
        Unavailable("db.internal:3306: secret cause"),
        RuntimeError("secret cause\nSELECT password"),
        OSError(5, "secret cause"),
        MemoryError("secret cause"),
        RecursionError("secret cause"),
        AssertionError("secret cause"),
        TimeoutError("secret cause"),
        ExceptionGroup("secret cause", [ValueError()]),
        asyncio.CancelledError("secret cause"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_any_failure_below_is_soft(failure: BaseException) -> None:
    """Whatever a directory raises is DENYSOFT with the constant text, for recipients and domains;
    the cause is one line for the log, and nowhere else."""
    check = Check(Memory(failure=failure), timeout=TIMEOUT)
    for decision in (await check.recipient("anna@x.example"), await check.domain("x.example")):
        assert decision.verdict is FAULT
        assert (decision.verdict.action, decision.verdict.code) == (Action.DENYSOFT, 451)
        assert decision.verdict.text == "Internal error - try later"
        assert decision.cause
        assert decision.cause.isprintable()


async def test_a_caller_may_give_up() -> None:
    """A door that no longer wants the answer cancels the check, and it ends at once."""
    asking = asyncio.create_task(decide(Memory(delay=60.0), "anna@x.example"))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_the_deadline() -> None:
    """A directory that doesn't answer is a fault before the timeout is over; one that answers in
    time is heard. The deadline is one for all the questions of an address."""
    begun = time.monotonic()
    decision = await decide(Memory(delay=60.0), "anna@x.example")
    assert decision.verdict is FAULT
    assert decision.cause == "no answer within the deadline"
    assert time.monotonic() - begun < TIMEOUT
    assert (await decide(Memory(delay=TIMEOUT / 10), "anna@x.example")).verdict is not FAULT
    begun = time.monotonic()
    slow = Memory(delay=TIMEOUT / 4)
    assert await reason(slow, "a+b+c+d+e+f+g+h@x.example", "+") is Reason.FAULT
    assert time.monotonic() - begun < TIMEOUT


async def test_domains() -> None:
    """A domain is known or foreign; a malformed one is refused without a question."""
    directory = memory()
    check = Check(directory, timeout=TIMEOUT)
    texts = ("X.example", "x.example.", "y.example", "x..example")
    reasons = [(await check.domain(text)).verdict.reason for text in texts]
    assert reasons == [Reason.KNOWN, Reason.KNOWN, Reason.FOREIGN, Reason.MALFORMED]
    assert directory.asked == ["x.example", "x.example", "y.example"]


@pytest.mark.fault("SQ23")
async def test_an_extension() -> None:
    """With a delimiter, who isn't there as written is there by an address before an extension;
    without one, addresses are looked up as they are."""
    directory = memory("anna@x.example", "bert+news@x.example", "c-d@x.example")
    for text in ("anna+a@x.example", "ANNA+a+b@X.example", "bert+news+x@x.example"):
        assert await reason(directory, text, "+") is Reason.KNOWN, text
        assert await reason(directory, text) is Reason.UNKNOWN, text
    for text in ("bert+x@x.example", "bert@x.example", "+anna@x.example", "anna-a@x.example"):
        assert await reason(directory, text, "+") is Reason.UNKNOWN, text
    assert await reason(directory, "anna-a@x.example", "+-") is Reason.KNOWN
    assert await reason(directory, "c-d+e@x.example", "+-") is Reason.KNOWN
    assert await reason(directory, "anna+a@y.example", "+") is Reason.FOREIGN


@pytest.mark.fault("SQ23")
async def test_an_extension_costs_no_more_than_it_must() -> None:
    """The bases are asked together, and only when the address itself isn't there; a foreign domain
    ends it, and the length of a local part bounds it."""
    directory = memory("a@x.example")
    await decide(directory, "a+b+c@x.example", "+")
    assert directory.asked == ["a+b+c@x.example", "a+b@x.example", "a@x.example"]
    directory = memory("a+b+c@x.example")
    await decide(directory, "a+b+c@x.example", "+")
    assert directory.asked == ["a+b+c@x.example"]
    directory = memory()
    await decide(directory, "a+b+c@y.example", "+")
    assert directory.asked == ["a+b+c@y.example"]
    directory = memory()
    await decide(directory, "a" + "+" * 63 + "@x.example", "+")
    assert len(directory.asked) <= 64


async def test_an_extension_of_the_mail_systems_own_names() -> None:
    """``postmaster`` with an extension is no postmaster; the mail system's names aren't split."""
    directory = memory("double@x.example")
    assert await reason(directory, "postmaster-a@x.example", "-") is Reason.UNKNOWN
    assert await reason(directory, "double-bounce@x.example", "-") is Reason.UNKNOWN


async def test_a_fault_on_the_way_to_a_base() -> None:
    """When the address isn't there and its base can't be asked, nobody can tell."""

    class Failing(Memory):
        async def find(self, address: Address, trace: Trace | None = None) -> Presence:
            if address.local == "anna":
                raise Unavailable("away")
            return await super().find(address, trace)

    assert await reason(Failing(), "anna+a@x.example", "+") is Reason.FAULT


REPLIES = {
    Presence.DISABLED: (Action.DENY, Reason.DISABLED, 550, "5.2.1"),
    Presence.REFUSED: (Action.DENY, Reason.REFUSED, 550, "5.7.1"),
    Presence.BUSY: (Action.DENYSOFT, Reason.BUSY, 450, "4.2.1"),
    Presence.FULL: (Action.DENYSOFT, Reason.FULL, 452, "4.2.2"),
}


@dataclass
class Saying(Memory):
    """A directory that says one thing of every address."""

    presence: Presence = Presence.UNKNOWN

    async def find(self, address: Address, trace: Trace | None = None) -> Presence:
        return self.presence


@pytest.mark.parametrize("presence", REPLIES)
async def test_each_reason_has_its_reply(presence: Presence) -> None:
    """Disabled, refused, busy and full have codes and texts of their own, with the address in them;
    the log gets the reason's word."""
    decision = await decide(Saying(presence=presence), "Anna@x.example")
    verdict = decision.verdict
    said = (verdict.action, verdict.reason, verdict.code, verdict.enhanced)
    assert said == REPLIES[presence]
    assert "'anna@x.example'" in verdict.text
    assert decision.source == presence.value


@pytest.mark.parametrize("presence", [Presence.BASE, Presence.ALIAS_DOMAIN, Presence.CATCH_ALL,
                                      Presence.RELAY])  # fmt: skip
async def test_every_way_of_being_there_is_known(presence: Presence) -> None:
    """To the mail server all are known; the log says which it was."""
    decision = await decide(Saying(presence=presence), "anna@x.example")
    assert decision.verdict.reason is Reason.KNOWN
    assert decision.verdict.action is Action.DECLINED
    assert decision.source == presence.value


async def test_a_postmaster_is_never_refused_for_good() -> None:
    """Not even a disabled or refused one; a busy one is told to come back."""
    for presence, reason in (
        (Presence.DISABLED, Reason.KNOWN),
        (Presence.REFUSED, Reason.KNOWN),
        (Presence.BUSY, Reason.BUSY),
    ):
        found = await decide(Saying(presence=presence), "postmaster@x.example")
        assert found.verdict.reason is reason


async def test_replies_are_the_sites_own() -> None:
    """A site's code decides between for good, for now and not at all; its text has the address, and
    a brace in an address is no field."""
    replies = Replies(
        unknown=Reply(450, "4.1.1", "no {address}"), disabled=Reply(250, "2.1.5", "fine")
    )
    check = Check(memory(), timeout=TIMEOUT, replies=replies)
    verdict = (await check.recipient("{0}{address}@x.example")).verdict
    assert verdict.action is Action.DENYSOFT
    assert verdict.text == "no {0}{address}@x.example"
    check = Check(Saying(presence=Presence.DISABLED), timeout=TIMEOUT, replies=replies)
    assert (await check.recipient("a@x.example")).verdict.reason is Reason.KNOWN


async def test_a_dry_run_refuses_nobody() -> None:
    """In a dry run the answer is that of nobody asked, faults and malformed addresses included,
    and the decision holds what would have been said; known and foreign are as ever."""
    check = Check(memory("anna@x.example"), timeout=TIMEOUT, dry_run=True)
    for text, noted in (("bert@x.example", "550 5.1.1"), ("a b@x", "553 5.1.3")):
        decision = await check.recipient(text)
        assert (decision.verdict.action, decision.verdict.reason) == (
            Action.DECLINED,
            Reason.KNOWN,
        )
        assert f"dry run, else {noted}" in decision.cause
    assert (await check.recipient("anna@x.example")).cause == ""
    assert (await check.recipient("anna@y.example")).verdict.reason is Reason.FOREIGN
    away = Check(Memory(failure=Unavailable("away")), timeout=TIMEOUT, dry_run=True)
    decision = await away.recipient("anna@x.example")
    assert decision.verdict.action is Action.DECLINED
    assert "451 4.4.3" in decision.cause
    assert "away" in decision.cause


async def test_a_dry_run_of_some_domains() -> None:
    """With domains named, only their recipients are let through."""
    directory = Memory(domains=frozenset({"x.example", "y.example"}))
    check = Check(directory, timeout=TIMEOUT, dry_run_at={"y.example"})
    assert (await check.recipient("a@x.example")).verdict.action is Action.DENY
    assert (await check.recipient("a@y.example")).verdict.action is Action.DECLINED


async def test_delimiters_of_a_domain() -> None:
    """A domain may have delimiters of its own, or none."""
    directory = Memory(frozenset({"anna@x.example", "anna@y.example"}),
                       frozenset({"x.example", "y.example"}))  # fmt: skip
    check = Check(directory, timeout=TIMEOUT, delimiters="+", delimiters_at={"y.example": "-"})
    for text, reason in (
        ("anna+a@x.example", Reason.KNOWN), ("anna-a@x.example", Reason.UNKNOWN),
        ("anna+a@y.example", Reason.UNKNOWN), ("anna-a@y.example", Reason.KNOWN),
    ):  # fmt: skip
        assert (await check.recipient(text)).verdict.reason is reason, text


class Ready(Memory):
    """As Memory; of the keys in it, and of no others, it knows at once."""

    def find_at_once(self, address: Address) -> Presence | None:
        return Presence.KNOWN if address.key in self.keys else None


async def test_what_is_known_at_once_is_decided_at_once() -> None:
    """Such a decision is the one that asking would give, and nobody is asked; nor for what needs
    no directory. All others are asked."""
    directory = Ready(frozenset({"anna@x.example"}))
    check = Check(directory, timeout=TIMEOUT)
    for text in ("<anna@x.example>", "postmaster", "a@b@c", "root"):
        assert check.decide(text) == await Check(
            memory(*directory.keys), timeout=TIMEOUT
        ).recipient(text)
    assert directory.asked == []
    later = check.decide("bert@x.example")
    assert not isinstance(later, Decision)
    assert (await later).verdict.reason is Reason.UNKNOWN


class Sure(Memory):
    """As Memory, and knows everything at once."""

    def find_at_once(self, address: Address) -> Presence:
        return Presence.KNOWN if address.key in self.keys else Presence.UNKNOWN


async def test_unknown_at_once_is_not_the_end_of_an_extension() -> None:
    """Somebody with an extension who is unknown at once may be there without it."""
    directory = Sure(frozenset({"anna@x.example"}))
    assert isinstance(Check(directory, timeout=TIMEOUT).decide("anna+a@x.example"), Decision)
    later = Check(directory, timeout=TIMEOUT, delimiters="+").decide("anna+a@x.example")
    assert not isinstance(later, Decision)
    assert (await later).verdict.reason is Reason.KNOWN


async def test_a_dry_run_at_once() -> None:
    """What is known at once is withheld as well."""
    decision = Check(Sure(), timeout=TIMEOUT, dry_run=True).decide("bert@x.example")
    assert isinstance(decision, Decision)
    assert decision.verdict.action is Action.DECLINED
    assert "550 5.1.1" in decision.cause
