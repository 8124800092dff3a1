"""check-user init: a database in, a proven configuration out; and Postfix's own maps taken over."""

from __future__ import annotations

import asyncio
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from check_user.app.asking import asking
from check_user.app.doctor import examine
from check_user.cli import main
from check_user.config import load
from check_user.directory import Finding, Level
from check_user.directory.schemas import SCHEMAS
from check_user.verdict import Reason
from tests.app.serving import free_port
from tests.directory.backends import BACKENDS, Backend, OnServer
from tests.directory.schemas import panels, servers
from tests.directory.schemas.filling import Filling
from tests.directory.schemas.products import PRODUCTS
from tests.directory.schemas.test_schemas import PLACES
from tests.directory.schemas.world import Alias, Mailbox, cases

VERSIONS = {
    "postfixadmin": "2.3 to 3.0",
    "vexim": "2.1 or later",
    "iredmail": "0.9.8 or later",
    "mailcow": "2025 or later",
    "modoboa": "1.5 to 2",
    "mailinabox": "56 or later",
    "ispconfig": "3.1",
    "froxlor": "0.9.36",
    "vpopmail": "5.4.33 or later",
    "mailu": "2024.06 or later",
    "ispmail": "older",
}
"""Those that the tests' tables look like."""


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param](request)


def flags(backend: Backend, folder: Path) -> list[str]:
    """The options that lead to the backend."""
    if not isinstance(backend, OnServer):
        return ["--driver", "sqlite", "--database", backend.place()["database"]]
    secret = folder / "secret"
    secret.touch(0o600)
    secret.write_text(f"{backend.server.password}\n")
    where = ["--host", f"{backend.server.host}:{backend.server.port}"]
    who = ["--user", backend.server.user, "--passwd-file", str(secret)]
    return ["--driver", backend.driver, "--database", backend.server.database, *where, *who]


def init(backend: Backend, folder: Path, *more: str) -> tuple[int, Path]:
    file = folder / "check_user.conf"
    given = ["init", *flags(backend, folder), "--output", str(file), *more]
    return main([*given, "--listen", f"line inet:127.0.0.1:{free_port()}"]), file


def fill(name: str, backend: Backend) -> None:
    filling = Filling(backend)
    PRODUCTS[name].fill(filling)
    filling.fill()


def reasons(file: Path, texts: list[str]) -> dict[str, tuple[Reason, str]]:
    """The reason and the source that a configuration gives for each address."""
    with asking(load(file), lambda _: None) as ask:
        answers = {text: ask(text) for text in texts}
        decisions = {text: answer.result().decision for text, answer in answers.items()}
    assert [d for d in decisions.values() if d.verdict.reason is Reason.FAULT] == []
    return {text: (d.verdict.reason, d.source) for text, d in decisions.items()}


@pytest.mark.parametrize(("name", "backend"), PLACES, indirect=["backend"])
def test_every_schema_is_recognised(
    name: str, backend: Backend, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On each product's database init names the product and its version, writes a configuration
    that proves itself and passes the manual's cases, readable by its owner alone; and check finds
    no error."""
    fill(name, backend)
    values = [f"--value={key}={value}" for key, value in PRODUCTS[name].values.items()]
    code, file = init(backend, tmp_path, "--delimiter", "+-", *values)
    out = capsys.readouterr().out
    assert code == 0, out
    version = f", version {VERSIONS[name]}: "
    assert out.startswith(f"This is {SCHEMAS[name].title}{version}")
    assert f"schema={name}\n" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert out.count("\tknown") >= 1
    skills = PRODUCTS[name].skills
    expected = {case.address: case.answer for case in cases() if case.needs <= skills}
    found = reasons(file, list(expected))
    said = {text: source or reason.value for text, (reason, source) in found.items()}
    assert said == expected
    assert main(["check", "--config", str(file)]) == 0, capsys.readouterr().out


TIDY = {
    "DOMAINS": ("example.org", "xn--mller-kva.example", "split.example"),
    "MAILBOXES": (Mailbox("anna", "example.org"), Mailbox("paul", "split.example")),
    "FORMER": (Mailbox("former", "example.org", False),),
    "ALL_MAILBOXES": (Mailbox("anna", "example.org"), Mailbox("former", "example.org", False)),
    "ALIASES": (Alias("bert", "example.org", "anna@example.org"),),
    "GONE": (Alias("gone", "example.org", "anna@example.org", enabled=False),),
    "TIMED": (Alias("was", "example.org", "anna@example.org", expired=True),),
    "ALIAS_DOMAINS": (("example.net", "example.org"),),
    "AT_DOMAIN": (),
    "CATCH_ALLS": (),
    "REFUSALS": (("noreply", "example.org"),),
}
"""Accounts as a site has them that looks after them: canonical, and everything leads somewhere."""


@pytest.mark.parametrize(("name", "backend"), PLACES, indirect=["backend"])
def test_a_well_kept_site_is_clean(
    name: str,
    backend: Backend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On a well-kept database of each product check finds what init wrote clean: no error and no
    warning, once the administrator has run the statements that the warnings name, as they stand."""
    for module in (servers, panels):
        for constant, value in TIDY.items():
            if hasattr(module, constant):
                monkeypatch.setattr(module, constant, value)
    fill(name, backend)
    values = [f"--value={key}={value}" for key, value in PRODUCTS[name].values.items()]
    code, file = init(backend, tmp_path, *values)
    assert code == 0, capsys.readouterr().out
    advised = {f.advice.partition("; or, ")[0] for f in warnings(file)}
    assert all(advice.startswith("CREATE INDEX ") for advice in advised), advised
    for statement in {each for advice in advised for each in advice.split("; ")}:
        backend.execute(statement)
    assert warnings(file) == []
    capsys.readouterr()
    assert main(["check", "--config", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith("ok ")] == []


def warnings(file: Path) -> list[Finding]:
    """What check has against a configuration."""
    return [each for each in asyncio.run(examine(file)) if each.level is not Level.OK]


def test_an_account_to_read_with(
    session_backends: list[Backend], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """init proposes the statements that make an account which may read these tables alone."""
    for backend, expected in zip(
        session_backends, ("GRANT SELECT ON `maildb`.`alias` TO", 'GRANT SELECT ON "alias" TO'),
        strict=True,
    ):  # fmt: skip
        fill("postfixadmin", backend)
        init(backend, tmp_path, "--force")
        assert expected in capsys.readouterr().out


@pytest.fixture
def session_backends(request: pytest.FixtureRequest) -> list[Backend]:
    return [BACKENDS[name](request) for name in ("mariadb", "postgresql")]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_prefix_is_found(backend: Backend, tmp_path: Path) -> None:
    """Tables with a prefix are recognised, and the prefix is written."""
    fill("postfixadmin", backend)
    for table in ("domain", "mailbox", "alias", "alias_domain"):
        backend.execute(f'ALTER TABLE "{table}" RENAME TO "pa_{table}"')
    code, file = init(backend, tmp_path)
    assert (code, "schema_prefix=pa_\n" in file.read_text()) == (0, True)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_file_that_is_there_is_kept(
    backend: Backend, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An existing file isn't touched without --force; nothing is left beside it."""
    fill("ispmail", backend)
    _, file = init(backend, tmp_path)
    file.write_text("mine")
    assert init(backend, tmp_path)[0] == 2
    assert "--force" in capsys.readouterr().err
    assert file.read_text() == "mine"
    assert init(backend, tmp_path, "--force")[0] == 0
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_an_unknown_schema(
    backend: Backend, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing fits init says what it saw and proposes the plain keys, and writes nothing."""
    backend.fill(
        "CREATE TABLE people (name varchar(50), post varchar(99));"
        "CREATE TABLE zones (zone varchar(99));"
        + backend.insert("people", [("Anna", "anna@x.example")])
        + backend.insert("zones", [("x.example",)])
    )
    code, file = init(backend, tmp_path)
    said = capsys.readouterr().err
    assert code == 2
    assert "the tables are people, zones" in said
    keys = {"email_table": "people", "email_address": "post", "domain_table": "zones",
            "domain_domain": "zone"}  # fmt: skip
    for key, value in keys.items():
        assert f"  {key}={value}\n" in said + "\n"
    assert not file.exists()


def test_a_database_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An error is one line, and nothing is written."""
    output = str(tmp_path / "c.conf")
    given = ["--driver", "sqlite", "--database", str(tmp_path / "no.db"), "--output", output]
    assert main(["init", *given]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not Path(output).exists()


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_the_dialogue(backend: Backend, tmp_path: Path) -> None:
    """On a terminal what wasn't given is asked for; an empty answer is the default."""
    fill("postfixadmin", backend)
    file = tmp_path / "c.conf"
    terminal, theirs = pty.openpty()
    command = [sys.executable, "-m", "check_user", "init", "--output", str(file)]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE) as process:
        answers = ["sqlite", backend.place()["database"], ""]
        os.write(terminal, "".join(f"{answer}\n" for answer in answers).encode())
        assert process.stdout
        said = process.stdout.read().decode()
        assert process.wait(60) == 0, said
    os.close(theirs)
    os.close(terminal)
    assert "This is PostfixAdmin" in said
    assert "recipient_delimiter=+\n" in file.read_text()
