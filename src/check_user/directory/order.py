"""The order of answers: what the stored rows about an address and its domain say. Pure.

A database may hold much about one address: a mailbox, an alias, the same name in a domain that this
one stands for, a catch-all. Whoever looked them up has :class:`Fact` s, each under a key:

    anna@example.org    about an address
    @example.org        about everybody else in a domain: a catch-all, or ``@old -> @new``
    example.org         about a domain

and :func:`decide` says what they mean. The first line that applies is the answer:

====  =============================================  ============
step  what is stored                                 the answer
====  =============================================  ============
0     nothing that makes the domain ours             FOREIGN
1     a refusal of the address, with or without its  REFUSED
      extension
2     the address                                    KNOWN
3     the address without its extension, the         BASE
      longest first
4     the domain stands for another one, in which    ALIAS_DOMAIN
      1 to 3 apply
5     a catch-all of the domain, or of the one that  CATCH_ALL
      it stands for
6     one of the two is a relay domain               RELAY
7     nothing of all that                            UNKNOWN
====  =============================================  ============

At steps 2 and 3 (and 4) several rows may have the same key: one that is busy or full decides, else
one that is active, and a disabled one only where nothing else is. A disabled row ends the search,
so that no catch-all takes what was switched off; a disabled or refused catch-all is none, and one
that is busy or full takes nobody for now. A domain whose row is disabled isn't ours, as with the
mail server's own maps, even if it also stands for another.

An alias domain is followed once: what its target stands for in turn doesn't count (a chain), and a
domain that stands for itself is only itself (a loop).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from check_user.address import Address
from check_user.directory import Presence


class State(Enum):
    """What a row says about its key. RELAY is said of domains; of an address it is as ACTIVE."""

    ACTIVE = "active"
    DISABLED = "disabled"
    REFUSED = "refused"
    BUSY = "busy"
    FULL = "full"
    RELAY = "relay"


# By names of their own: before Python 3.12 naming an enumeration's member runs Python code.
_ACTIVE, _DISABLED, _REFUSED = State.ACTIVE, State.DISABLED, State.REFUSED
_KNOWN = Presence.KNOWN


class Fact(NamedTuple):
    """One stored row.

    ``source`` is what people call the rows of its kind (``alias``). ``stands_for`` is the domain
    (its key) for which a domain, or everybody in it, stands. ``pattern`` restricts a catch-all to
    the local parts that are LIKE it. ``goes_to`` is where an alias leads, as stored. ``through``
    says whether the row serves alias domains as well.
    """

    source: str
    state: State = State.ACTIVE
    stands_for: str = ""
    pattern: str = ""
    goes_to: str = ""
    through: bool = True


Facts = Mapping[str, Sequence[Fact]]


class Found(NamedTuple):
    """An answer and what it rests on.

    ``key`` and ``facts`` are the rows that decided, ``through`` the domain that was followed.
    With ``follow`` there is no answer yet: the rows of that domain must be looked up as well.
    """

    presence: Presence
    key: str = ""
    facts: tuple[Fact, ...] = ()
    through: str = ""
    follow: str = ""

    def why(self, asked: Address) -> str:
        """The answer's reason in a postmaster's words."""
        steps = [f"alias domain {asked.domain.key} -> {self.through}"] if self.through else []
        steps += [_shown(self.key, fact) for fact in self.facts]
        return "; ".join([*steps, CONCLUSIONS.get(self.presence, self.presence.value)])


CONCLUSIONS = {
    Presence.FOREIGN: "foreign, since no active row makes the domain ours",
    Presence.UNKNOWN: "unknown, since no row in a domain of ours says more",
    Presence.BASE: "known without its extension",
    Presence.ALIAS_DOMAIN: "known in the domain that its own stands for",
    Presence.CATCH_ALL: "known by the catch-all",
    Presence.RELAY: "not refused, since its accounts are elsewhere",
}


def _shown(key: str, fact: Fact) -> str:
    to = fact.goes_to or fact.stands_for
    like = f" like '{fact.pattern}'" if fact.pattern else ""
    return f"{fact.source} {key}{like} is {fact.state.value}" + (f", goes to {to}" if to else "")


def decide(names: Sequence[Address], facts: Facts, asked: Collection[str]) -> Found:
    """Decide about ``names``: the address, then its bases without extension, the longest first.

    ``asked`` are the domains (keys) whose rows are among the facts, the addresses' own included.
    """
    domain = names[0].domain.key
    about = facts.get(domain, ())
    if not is_ours(about):
        return Found(Presence.FOREIGN, domain, tuple(about))
    keys = [name.key for name in names]
    found = _look(keys, facts)
    if found is not None:
        return found
    targets = stands_for(domain, facts)
    for target, serves_all in targets.items():
        if target not in asked:
            return Found(Presence.UNKNOWN, follow=target)
        there = [key.removesuffix(domain) + target for key in keys]
        found = _look(there, facts, target, serves_all=serves_all)
        if found is not None:
            return found
    return _for_everybody(names, facts, (domain, *targets)) or _NOBODY


_NOBODY = Found(Presence.UNKNOWN)


def is_ours(about: Sequence[Fact]) -> bool:
    """Whether what is stored about a domain makes it ours."""
    disabled = alias = False
    for fact in about:
        if fact.stands_for:
            alias = alias or fact.state is _ACTIVE
        elif fact.state is not _DISABLED:
            return True
        else:
            disabled = True
    return alias and not disabled


def stands_for(domain: str, facts: Facts) -> dict[str, bool]:
    """The domains for which ``domain`` stands, and whether all that is in them serves it too.

    So it is where the whole domain goes elsewhere by an alias (``@old -> @new``).
    """
    targets: dict[str, bool] = {}
    for key, serves_all in ((domain, False), (f"@{domain}", True)):
        for fact in facts.get(key, ()):
            if fact.stands_for and fact.state is _ACTIVE and fact.stands_for != domain:
                targets[fact.stands_for] = serves_all
    return targets


def _look(
    keys: Sequence[str], facts: Facts, through: str = "", *, serves_all: bool = True
) -> Found | None:
    """Steps 1 to 3; in an alias domain's target where ``through`` names it."""
    found = None
    for key in keys:
        about = facts.get(key, ())
        if not serves_all:
            about = [fact for fact in about if fact.through]
        if not about:
            continue
        state, deciding = _deciding(about)
        if found is None or state is _REFUSED:
            presence = _PRESENCES[state]
            if presence is _KNOWN and (through or key != keys[0]):
                presence = Presence.ALIAS_DOMAIN if through else Presence.BASE
            found = Found(presence, key, deciding, through)
        if state is _REFUSED:
            return found
    return found


def _deciding(about: Sequence[Fact]) -> tuple[State, tuple[Fact, ...]]:
    """Which of a key's rows decide, and their state."""
    state = _RANKS[min([_RANKS.index(fact.state) for fact in about])]
    return state, tuple([fact for fact in about if fact.state is state])


_PRESENCES = {
    State.REFUSED: Presence.REFUSED,
    State.BUSY: Presence.BUSY,
    State.FULL: Presence.FULL,
    State.ACTIVE: Presence.KNOWN,
    State.RELAY: Presence.KNOWN,
    State.DISABLED: Presence.DISABLED,
}
_RANKS = tuple(_PRESENCES)
"""The states of a key's rows, that which decides before others first."""
TAKING_NOBODY = (State.DISABLED, State.REFUSED)
"""The states in which a catch-all is none."""


def _for_everybody(names: Sequence[Address], facts: Facts, domains: Sequence[str]) -> Found | None:
    """Steps 5 and 6: the domain's own first, then those of the domains for which it stands."""
    for domain in domains:
        through = domain if domain != domains[0] else ""
        taking = [
            fact
            for fact in facts.get(f"@{domain}", ())
            if fact.state not in TAKING_NOBODY
            and not fact.stands_for
            and (fact.through or not through)
            and (not fact.pattern or any(is_like(name.local, fact.pattern) for name in names))
        ]
        if taking:
            state, deciding = _deciding(taking)
            presence = _PRESENCES[state]
            presence = Presence.CATCH_ALL if presence is _KNOWN else presence
            return Found(presence, f"@{domain}", deciding, through)
    for domain in domains:
        through = domain if domain != domains[0] else ""
        relays = tuple(f for f in facts.get(domain, ()) if f.state is State.RELAY)
        if relays:
            return Found(Presence.RELAY, domain, relays, through)
    return None


def is_like(text: str, pattern: str) -> bool:
    """SQL's LIKE: ``%`` is any text, ``_`` any character; the 26 letters in any case.

    Goes back to the last ``%`` alone, which is enough, so the time is at most the product of the
    lengths whatever pattern is stored. ``text`` is in lower case.
    """
    place = at = 0
    back, resume = -1, 0
    while place < len(text):
        if at < len(pattern) and pattern[at] == "%":
            back, resume = at, place
            at += 1
        elif at < len(pattern) and (pattern[at] == "_" or _lower(pattern[at]) == text[place]):
            place, at = place + 1, at + 1
        elif back >= 0:
            resume += 1
            place, at = resume, back + 1
        else:
            return False
    return not pattern[at:].strip("%")


def _lower(letter: str) -> str:
    return letter.lower() if letter.isascii() else letter
