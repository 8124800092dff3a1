"""How a key is declared: a field of a dataclass, with its type, sentence and default."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from check_user.config.values import Type

REQUIRED = object()
"""The default of a key that must be in the file."""


@dataclass(frozen=True, slots=True)
class Key:
    """The declaration of one key. ``default_text`` is for people where the default has a rule."""

    name: str
    group: str
    type: Type[Any]
    default: Any
    sentence: str
    default_text: str
    repeatable: bool


def key(
    type_: Type[Any],
    sentence: str,
    default: Any = REQUIRED,
    *,
    group: str = "",
    default_text: str = "",
    repeatable: bool = False,
) -> Any:
    """Declare a field of :class:`Settings`; a ``group`` holds until the next one."""
    return dataclasses.field(
        metadata={
            "type": type_,
            "sentence": sentence,
            "default": default,
            "group": group,
            "default_text": default_text,
            "repeatable": repeatable,
        }
    )
