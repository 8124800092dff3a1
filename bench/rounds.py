"""Rounds: who is measured, what a run gives, and runs compared within a round."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

WARM_UP = 0.3
"""Seconds that every contender runs before the first round; its connections are open then."""


class WrongError(Exception):
    """A contender gave a wrong answer, or none."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run. Latencies are in microseconds, and so is ``cpu``: the contender's own CPU time for
    each answer. ``generator`` is what the load generator had, in processors."""

    rate: float
    p50: float | None = None
    p99: float | None = None
    cpu: float | None = None
    generator: float | None = None


Run = Callable[[float, int], Measured]
Key = tuple[str, str, int]
"""A contender's name, database and number of clients."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Whatever can be asked for some seconds, and says how it did.

    ``name`` says what is asked, ``database`` where that ends, ``clients`` how many ask.
    ``run(seconds, start)`` asks the load from its line ``start`` on. Every answer is checked; a
    wrong one raises WrongError, and there is no result.
    """

    name: str
    database: str
    clients: int
    run: Run

    @property
    def key(self) -> Key:
        """Under which its runs are kept."""
        return self.name, self.database, self.clients


@dataclass(frozen=True, slots=True)
class Results:
    """Every run of every contender, one a round."""

    runs: Mapping[Key, Sequence[Measured]]

    def ratio(self, of: Key, *to: Key) -> float:
        """The median of a rate's ratios to another's, or to the best of several, in each round."""
        return median(
            [
                run.rate / max(self.runs[other][number].rate for other in to)
                for number, run in enumerate(self.runs[of])
            ]
        )

    def rate(self, of: Key) -> float:
        """The median rate."""
        return median([run.rate for run in self.runs[of]])


def measure(contenders: Sequence[Contender], rounds: int, seconds: float) -> Results:
    """Run every contender once a round, in an order that is random in each. Raises WrongError."""
    for contender in contenders:
        contender.run(WARM_UP, 0)
    runs: dict[Key, list[Measured]] = {contender.key: [] for contender in contenders}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", flush=True)
        for contender in random.sample(contenders, len(contenders)):
            measured = contender.run(seconds, random.randrange(1 << 30))
            runs[contender.key].append(measured)
    return Results(runs)
