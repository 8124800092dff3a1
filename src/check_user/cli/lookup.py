"""``check-user lookup``: the verdict for each address, a line each, in the order of asking.

    anna@example.org	DECLINED	known	Local address 'anna@example.org'

Addresses from standard input are asked about as they come, AHEAD of them at once.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import Future
from queue import Queue

from check_user.app.asking import Answer, Ask, asking
from check_user.config import find, load
from check_user.directory import Step
from check_user.telemetry import printable
from check_user.verdict import Action, Reason

AHEAD = 64

REFUSED = 1
FOREIGN = 3


def lookup(options: Namespace) -> int:
    """Run the command; the exit code tells the gravest verdict."""
    settings = load(find(options.config))
    show = _as_json if options.json else _as_text
    reasons: set[Reason] = set()
    with asking(settings, _report) as ask:
        for answer in _answers(ask, options.addresses):
            reasons.add(answer.decision.verdict.reason)
            print(show(answer, explain=options.explain))
    return exit_code(reasons)


def exit_code(reasons: set[Reason]) -> int:
    """75 if anything could not be told, else 1 if anything is refused, 3 if foreign, else 0."""
    if Reason.FAULT in reasons:
        return os.EX_TEMPFAIL
    if reasons - {Reason.KNOWN, Reason.FOREIGN}:
        return REFUSED
    return FOREIGN if Reason.FOREIGN in reasons else os.EX_OK


def _answers(ask: Ask, addresses: list[str]) -> Iterator[Answer]:
    """Ask ahead, in a thread that may wait for input, and give the answers in order."""
    asked: Queue[Future[Answer] | None] = Queue(AHEAD)

    def feed() -> None:
        for text in _texts(addresses):
            asked.put(ask(text))
        asked.put(None)

    threading.Thread(target=feed, name="input", daemon=True).start()
    while future := asked.get():
        yield future.result()
        if asked.empty():
            sys.stdout.flush()


def _texts(addresses: list[str]) -> Iterator[str]:
    for address in addresses:
        if address != "-":
            yield address
            continue
        # Not sys.stdin, whose lock this thread would hold while the interpreter ends.
        with open(0, "rb", closefd=False) as lines:
            for line in lines:
                yield line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")


def _report(text: str) -> None:
    print(f"check-user: {printable(text)}", file=sys.stderr)


def _as_text(answer: Answer, *, explain: bool) -> str:
    verdict = answer.decision.verdict
    fields = (answer.asked, verdict.action.value, verdict.reason.value, verdict.text)
    line = "\t".join(map(printable, fields))
    return "\n".join([line, *_explanation(answer)]) if explain else line


def _explanation(answer: Answer) -> Iterator[str]:
    decision = answer.decision
    if decision.address:
        yield f"  key     {printable(decision.address)}"
    for sentence in _conclusions(answer):
        yield f"  because {printable(sentence)}"
    for number, step in enumerate(_questions(answer), 1):
        yield f"  step {number}  {printable(step.name)}: {_outcome(step)}"
        yield f"          query   {printable(' '.join(step.query.split()))}"
        yield f"          values  {_list(step.values)}"
        if step.rows:
            yield f"          rows    {_list(step.rows)}"
    if decision.source:
        yield f"  source  {printable(decision.source)}"
    if decision.cause:
        yield f"  cause   {printable(decision.cause)}"
    yield f"  took    {answer.milliseconds:.1f} ms"


def _questions(answer: Answer) -> list[Step]:
    return [step for step in answer.steps if step.query]


def _conclusions(answer: Answer) -> list[str]:
    return [step.name for step in answer.steps if not step.query]


def _outcome(step: Step) -> str:
    rows = f"{len(step.rows)} row{'' if len(step.rows) == 1 else 's'}"
    return f"{rows} from {printable(step.origin)} in {step.milliseconds:.1f} ms"


def _list(texts: tuple[str, ...]) -> str:
    return ", ".join(f"'{printable(text)}'" for text in texts)


def _as_json(answer: Answer, *, explain: bool) -> str:
    decision = answer.decision
    verdict = decision.verdict
    fields: dict[str, object] = {
        "address": answer.asked,
        "verdict": verdict.action.value,
        "reason": verdict.reason.value,
        "text": verdict.text,
        "key": decision.address,
        "ms": round(answer.milliseconds, 3),
    }
    if verdict.action is not Action.DECLINED:
        fields |= {"code": verdict.code, "enhanced": verdict.enhanced}
    if decision.cause:
        fields["cause"] = decision.cause
    if decision.source:
        fields["source"] = decision.source
    if explain:
        fields["steps"] = [
            {
                "name": step.name,
                "query": step.query,
                "values": step.values,
                "rows": step.rows,
                "origin": step.origin,
                "ms": round(step.milliseconds, 3),
            }
            for step in _questions(answer)
        ]
        fields |= {"because": said} if (said := _conclusions(answer)) else {}
    return json.dumps(fields)
