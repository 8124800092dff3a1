"""Slots of a schema's statements: which values of an address they have, in which order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from check_user.directory.sql.templates import Slot


class Part(Enum):
    """A value of a slot."""

    ADDRESS = "anna@example.org"
    LOCAL = "anna"
    DOMAIN = "example.org"
    AT = "@example.org"


class Slots:
    """The values that are ``needed``, and the address, by which rows are told to be asked for.

    ``place`` has the number of each in a slot.
    """

    def __init__(self, needed: Iterable[Part]) -> None:
        has = {*needed, Part.ADDRESS}
        self._all = [number for number, part in enumerate(Part) if part in has]
        self.place: Mapping[Part, int] = {
            part: i for i, part in enumerate(part for part in Part if part in has)
        }

    def of(self, local: str, domain: str) -> Slot:
        """The slot of one spelling of an address."""
        values = (f"{local}@{domain}", local, domain, f"@{domain}")
        return tuple([values[number] for number in self._all])
