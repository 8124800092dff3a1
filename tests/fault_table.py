"""The table of faults in docs/faults.md, made from faults.toml and from the tests' own marks.

``python -m tests.fault_table`` writes it; a test compares.
"""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "faults.md"

INTRODUCTION = """\
# Faults and their tests

What goes wrong around a recipient check, and the tests that show the right answer. Made from the
tests by `python -m tests.fault_table`; do not edit by hand.
"""


def catalogue() -> dict[str, dict[str, str]]:
    """The groups of faults.toml: title and identifiers, and the group ``later``."""
    return tomllib.loads((TESTS / "faults.toml").read_text("utf-8"))


def marked() -> dict[str, list[tuple[str, str]]]:
    """For each identifier the tests that bear it: (file and name, the rule)."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        name = path.relative_to(TESTS.parent).as_posix()
        for test in functions(ast.parse(path.read_text("utf-8"))):
            rule = (ast.get_docstring(test) or "").split("\n\n")[0].replace("\n", " ")
            for identifier in identifiers(test):
                found[identifier].append((f"{name}::{test.name}", rule))
    return found


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every test function in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def identifiers(test: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """The arguments of the test's ``pytest.mark.fault`` decorators."""
    for decorator in test.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.fault":
            for argument in decorator.args:
                if isinstance(argument, ast.Constant):
                    yield str(argument.value)


def page() -> str:
    """The whole of docs/faults.md."""
    groups = catalogue()
    later = groups.pop("later")
    tests = marked()
    lines = [INTRODUCTION]
    for group in groups.values():
        faults = {key: text for key, text in group.items() if key != "title"}
        covered = sum(key in tests for key in faults)
        lines += [f"## {group['title']}\n", f"{covered} of {len(faults)} have tests.\n"]
        lines += ["| fault | what | tests |", "| --- | --- | --- |"]
        for key, text in faults.items():
            names = "<br>".join(f"`{name}`" for name, _ in tests.get(key, []))
            lines.append(f"| {key} | {text} | {names or 'not yet: ' + later.get(key, '?')} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
