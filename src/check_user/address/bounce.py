"""Bounce addresses: what mail systems make of a sender's address, so that bounces come back to it.

They are recipients when a bounce comes. Which forms there are::

    SRS0=HHHH=TT=elsewhere.example=joe@srs.example      SRS: we forward Joe's mail, his address is
    SRS1=HHHH=forwarder.example==HHHH=TT=...=joe@...    inside; SRS1 is the second forwarder's
    prvs=KDDDSSSSSS=anna@x.example                      BATV (draft-levine-smtp-batv-01): Anna wrote
    msprvs1=TAG=anna@x.example                          Message Systems' form of it
    btv1==TAG==anna@x.example                           Barracuda's
    anna+prvs=KDDDSSSSSS@x.example                      BATV, VERP as address extensions: these are
    list+joe=elsewhere.example@x.example                for :meth:`Address.without_extension`

An SRS address names nobody here. Whether it is genuine is in its hash, whose secret the mail server
has, and so it is for the mail server to tell. What a BATV tag is before is an address of ours.

Both are often longer than 64 octets, as they hold another local part, or another address.
"""

from __future__ import annotations

import re

from check_user.address.mailbox import Address
from check_user.address.text import lower

_SRS0 = "[=+-][^=]+=[^=]+=[^=]+=.+"
_SRS = re.compile(f"srs0{_SRS0}|srs1[=+-][^=]+=[^=]+={_SRS0}", re.DOTALL)
"""The first separator is the forwarder's choice, the rest isn't (Mail::SRS)."""

_TAG = re.compile("(?:ms)?prvs1?=[0-9a-z]+=|btv1==[0-9a-z]+==")


def is_srs(address: Address) -> bool:
    """Tell whether the local part has the form that SRS gives it."""
    return _SRS.fullmatch(lower(address.local)) is not None


def without_tag(address: Address) -> Address | None:
    """Give the address that a BATV tag was put before, or None where there is no tag."""
    tag = _TAG.match(lower(address.local))
    return address.part(tag.end(), len(address.local)) if tag else None
