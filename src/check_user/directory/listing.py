"""Listings: everything that a source holds, once through. What a replica is filled from.

A listing is opened for one pass and gives batches of entries, the domains first, so that an account
made meanwhile is never listed with its domain missing::

    [("anna@example.org", "known"), ("xn--bcher-kva.example", "unknown"), ...]

An entry is a canonical key (``address``) and a word. For a recipient it is the value of the
:class:`~check_user.directory.Presence` that the source would answer; for a domain, that of an
address of this domain which isn't listed itself: ``unknown`` where every account is listed,
``known`` where a catch-all takes everybody. :data:`ASK` says that the source has to be asked (a
rule that a list of keys can't express). A key may come several times; ``known`` wins.

What isn't an address can't be asked for and isn't listed; it is counted, with an example.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

Entry = tuple[str, str]

Batches = AsyncGenerator[Sequence[Entry], None]

ASK = "ask"
"""In place of a presence: the source alone can tell."""


@dataclass(slots=True)
class Skipped:
    """Rows that hold no address or domain: how many, and the first of them."""

    number: int = 0
    example: str = ""

    def note(self, shown: str) -> None:
        """Count one."""
        if not self.number:
            self.example = shown
        self.number += 1


class Listing(Protocol):
    """One pass. Raises Unavailable from every method when the source can't be read to its end."""

    skipped: Skipped

    async def count(self) -> int:
        """How many rows of recipients there are, for a progress bar."""
        ...

    def domains(self) -> Batches:
        """Every domain of ours, in batches."""
        ...

    def recipients(self) -> Batches:
        """Every recipient, in batches."""
        ...

    async def aclose(self) -> None:
        """End the pass, finished or not, without waiting for the source."""
        ...


OpenListing = Callable[[], Awaitable[Listing]]
"""Begins a pass. Raises Unavailable or Misconfigured."""
