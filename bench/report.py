"""The report: tables and goals, and ``docs/benchmarks.md``, in which each part has its own section.

A part's section begins with ``## TITLE`` and goes on to the next of that rank; a run of one part
leaves the others' as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.rounds import Results

HEAD = "# Benchmarks\n\nWritten by `make bench`; don't edit.\n"
COLUMNS = {"p50": "p50 µs", "p99": "p99 µs", "cpu": "CPU µs", "generator": "generator"}


@dataclass(frozen=True, slots=True)
class Section:
    """What a part of the bench found: ``summary`` for who watches, and all of it as ``text``.

    ``versions`` names what was measured beside check_user.
    """

    title: str
    versions: str
    summary: Sequence[str]
    text: Sequence[str]


def text_of(
    found: Iterable[str], tables: Mapping[str, Iterable[str]], how_to_read: str
) -> list[str]:
    """A section's text: the goals, each table under its heading, and how to read them."""
    lines = ["### Goals", "", *found, ""]
    for heading, table in tables.items():
        lines += [f"### {heading}", "", *table, ""]
    return [*lines, how_to_read]


def rates(results: Results) -> Iterator[str]:
    """The table of everything that was asked."""
    yield f"| asked | database | clients | answers/s | min-max | {' | '.join(COLUMNS.values())} |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|"
    for key, runs in results.runs.items():
        rate = [run.rate for run in runs]
        cells = [
            *map(str, key),
            f"{median(rate):.0f}",
            f"{min(rate):.0f}-{max(rate):.0f}",
            *(_middle([getattr(run, field) for run in runs]) for field in COLUMNS),
        ]
        yield f"| {' | '.join(cells)} |"


def goal(met: bool, text: str) -> str:
    """A line for a goal: whether this run met it."""
    return f"- {'met' if met else '**missed**'}: {text}"


def _middle(values: Sequence[float | None]) -> str:
    measured = [value for value in values if value is not None]
    if not measured:
        return ""
    middle = median(measured)
    return f"{middle:.2f}" if middle < 10 else f"{middle:.0f}"


def document(old: str, sections: Iterable[Section], order: Sequence[str]) -> str:
    """``docs/benchmarks.md`` with new ``sections``; ``order`` has all titles that there may be."""
    kept = dict(_sections(old))
    kept |= {section.title: "\n".join(section.text).strip() for section in sections}
    texts = [f"## {title}\n\n{kept[title]}\n" for title in order if title in kept]
    return "\n".join([HEAD, *texts])


def _sections(text: str) -> Iterator[tuple[str, str]]:
    for section in f"\n{text}".split("\n## ")[1:]:
        title, _, rest = section.partition("\n")
        yield title, rest.strip()
