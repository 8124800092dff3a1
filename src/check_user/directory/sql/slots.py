"""Slots of a schema's statements: which values of an address they have, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from operator import itemgetter

from check_user.directory.sql.templates import Slot


class Part(Enum):
    """A value of a slot."""

    ADDRESS = "anna@example.org"
    LOCAL = "anna"
    DOMAIN = "example.org"
    AT = "@example.org"


class Slots:
    """The values that are ``needed``; and the address, by which rows are told to be asked for, with
    its domain.

    ``place`` has the number of each in a slot.
    """

    def __init__(self, needed: Iterable[Part]) -> None:
        has = {*needed, Part.ADDRESS, Part.DOMAIN}
        every = tuple(Part)
        numbers = [number for number, part in enumerate(every) if part in has]
        self.place: Mapping[Part, int] = {every[n]: place for place, n in enumerate(numbers)}
        self._pick: Callable[[Slot], Slot] = itemgetter(*numbers)

    def of(self, local: str, domain: str) -> Slot:
        """The slot of one spelling of an address."""
        return self._pick((f"{local}@{domain}", local, domain, f"@{domain}"))
