"""The forms of a bounce's recipient: SRS, BATV, VERP."""

from __future__ import annotations

import pytest

from check_user.address import MAX_ADDRESS, Address, is_srs, parse, without_tag
from check_user.check import Check
from check_user.directory import Presence, Trace
from check_user.verdict import Reason
from tests.test_check import TIMEOUT, Memory, memory

SRS0 = "SRS0=HHh0=TT=elsewhere.example=joe@x.example"
SRS1 = "SRS1=h+/0=forwarder.example==HHHH=TT=elsewhere.example=joe@x.example"
LONG_SRS = f"SRS0=HHHH=TT={'b.' * 20}example={'j' * 60}@x.example"
BATV = "prvs=0123456789=Anna@X.example"
VERP = f"list+joe={'b.' * 30}example@x.example"


def address(text: str) -> Address:
    found = parse(text, MAX_ADDRESS)
    assert isinstance(found, Address)
    return found


async def reason(directory: Memory, text: str, *forms: str, delimiters: str = "") -> Reason:
    check = Check(directory, timeout=TIMEOUT, delimiters=delimiters, bounce_forms=forms)
    return (await check.recipient(text)).verdict.reason


@pytest.mark.parametrize(
    "text",
    [
        *(SRS0, SRS1, LONG_SRS, SRS0.lower(), SRS1.lower()),
        "SRS0+HHHH=TT=elsewhere.example=joe@x.example",
        "SRS0-HHHH=TT=elsewhere.example=joe=smith@x.example",
        "SRS1=HHHH=forwarder.example=+HHHH=TT=elsewhere.example=joe@x.example",
        '"SRS0=HHHH=TT=elsewhere.example=joe home"@x.example',
    ],
)
def test_what_has_the_form_of_srs(text: str) -> None:
    """Any separator after SRS0 or SRS1, in any case and with quotes: it is SRS, and no BATV."""
    assert is_srs(address(text))
    assert without_tag(address(text)) is None


@pytest.mark.parametrize(
    "local",
    [
        *("srs0", "srs0=", "SRS0=a", "SRS0=a=b=c", "SRS0=a=b=c=", "SRS0==b=c=d", "SRS0a=b=c=d=e"),
        *("xSRS0=a=b=c=d", "SRS2=a=b=c=d", "SRS1=a=b=c=d", "SRS1=a=b==c=d", "SRS1=a=b=c=d=e=f"),
    ],
)
def test_what_only_begins_like_srs(local: str) -> None:
    """A form that lacks one of its parts is none."""
    assert not is_srs(address(f"{local}@x.example"))


@pytest.mark.parametrize(
    ("local", "inner"),
    [
        ("prvs=0123456789=Anna", "Anna"),
        ("PRVS=05792A4E56=anna", "anna"),
        ("msprvs1=17xxAb=anna", "anna"),
        ("btv1==068a4973b3a==anna", "anna"),
        ("prvs=0123456789=anna=b", "anna=b"),
        ('"prvs=0123456789=at home"', '"at home"'),
    ],
)
def test_what_is_behind_a_tag(local: str, inner: str) -> None:
    """The address behind a BATV tag, in the spelling that was asked for."""
    assert without_tag(address(f"{local}@x.example")) == address(f"{inner}@x.example")
    found = without_tag(address(f"{local}@x.example"))
    assert found is not None
    assert found.written.lower() == inner.lower()


@pytest.mark.parametrize(
    "local",
    ["prvs=0123456789=", "prvs==anna", "prvs=anna", "prvs=a.b=anna", "btv1=0123=anna", "prvsx=0=a"],
)
def test_what_is_behind_no_tag(local: str) -> None:
    """A tag without its parts is none; nor is one before nobody, or before more than 64 octets."""
    assert without_tag(address(f"{local}@x.example")) is None
    assert without_tag(address(f"prvs=0123456789={'a' * 65}@x.example")) is None


async def test_srs_at_a_domain_of_ours_is_the_mail_servers() -> None:
    """With ``srs`` such a recipient is there, at our domains alone; without it, it is looked up."""
    for text in (SRS0, SRS1, LONG_SRS):
        assert await reason(memory(), text, "srs") is Reason.KNOWN
        assert await reason(memory(), text, "batv") is Reason.UNKNOWN
        assert await reason(memory(), text.replace("@x.", "@y."), "srs") is Reason.FOREIGN
    assert await reason(memory(), "SRS0=a@x.example", "srs") is Reason.UNKNOWN
    assert await reason(memory(), SRS0) is Reason.UNKNOWN
    assert await reason(memory(SRS0.lower()), SRS0) is Reason.KNOWN


async def test_srs_without_the_database_cant_be_told() -> None:
    """Whether the domain is ours must be known first."""
    assert await reason(Memory(failure=OSError("away")), SRS0, "srs") is Reason.FAULT


async def test_behind_a_tag_somebody_must_be() -> None:
    """With ``batv`` the address behind the tag decides: nobody is let in by a tag."""
    directory = memory("anna@x.example")
    assert await reason(directory, BATV, "batv") is Reason.KNOWN
    assert await reason(directory, BATV, "srs") is Reason.UNKNOWN
    assert await reason(directory, BATV) is Reason.UNKNOWN
    assert await reason(directory, BATV.replace("Anna", "bert"), "batv") is Reason.UNKNOWN
    assert await reason(directory, BATV.replace("Anna", "postmaster"), "batv") is Reason.KNOWN
    assert await reason(directory, BATV.replace("Anna", "anna+a"), "batv") is Reason.UNKNOWN
    assert (
        await reason(directory, BATV.replace("Anna", "anna+a"), "batv", delimiters="+")
        is Reason.KNOWN
    )


async def test_verp_is_an_extension() -> None:
    """The list before the delimiter decides, as long as the rest may be."""
    assert await reason(memory("list@x.example"), VERP, delimiters="+") is Reason.KNOWN
    assert await reason(memory(), VERP, delimiters="+") is Reason.UNKNOWN


async def test_no_bounce_is_refused_for_its_length() -> None:
    """With a delimiter or a form of bounces a local part may be as long as the path allows.

    Else its limit is 64 octets, as everywhere.
    """
    for text in (LONG_SRS, f"prvs=0123456789={'a' * 60}@x.example", VERP):
        assert await reason(memory(), text) is Reason.MALFORMED
        assert await reason(memory(), text, "batv") is Reason.UNKNOWN
        assert await reason(memory(), text, delimiters="-") is Reason.UNKNOWN
    assert await reason(memory(), f"{'a' * 255}@x.example", "batv") is Reason.MALFORMED
    anna = f"{'a' * 60}@x.example"
    assert await reason(memory(anna), f"prvs=0={anna}", "batv") is Reason.KNOWN


async def test_the_nearest_base_decides() -> None:
    """What a tag or an extension belongs to may be more than known: disabled, another domain's."""

    class Former(Memory):
        async def find(self, address: Address, trace: Trace | None = None) -> Presence:
            found = await super().find(address, trace)
            return Presence.DISABLED if address.local == "anna" else found

    assert await reason(Former(), BATV, "batv") is Reason.DISABLED
    assert await reason(Former(), "anna+a@x.example", delimiters="+") is Reason.DISABLED
