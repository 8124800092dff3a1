"""Questions: what waits in the pool for an answer, and how it is put together into statements."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from check_user.directory import Unavailable
from check_user.directory.sql.session import Session
from check_user.directory.sql.templates import Answer, Slot, Template


class Unstorable(Unavailable):
    """One of several spellings has a character that the column's character set doesn't have."""


@dataclass(slots=True, eq=False)
class Question:
    """One key and the spellings under which it may be stored."""

    template: Template
    key: str
    slots: tuple[Slot, ...]
    future: asyncio.Future[Answer]
    plain: bool
    attempts: int = 1
    failures: int = 0

    @property
    def waiting(self) -> bool:
        """Whether somebody still wants the answer."""
        return not self.future.done()

    def settle(self, outcome: Answer | Unavailable) -> None:
        """Give an outcome to whoever still waits for it."""
        if self.future.done():
            return
        if isinstance(outcome, Unavailable):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


@dataclass(slots=True, eq=False)
class Batch:
    """Questions that share one statement on one connection."""

    session: Session
    questions: list[Question]
    begun: float
    doubted: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def scans(self) -> bool:
        """Whether it may take long."""
        return self.questions[0].template.scans
