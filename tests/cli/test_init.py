"""check-user init: a database in, a proven configuration out; and Postfix's own maps taken over."""

from __future__ import annotations

import itertools
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from check_user.app.asking import asking
from check_user.cli import main
from check_user.cli.maps import MapError, queries, read_map
from check_user.config import load
from check_user.verdict import Reason
from tests.directory.backends import BACKENDS, Backend, OnServer
from tests.directory.schemas.filling import Filling
from tests.directory.schemas.products import PRODUCTS
from tests.directory.schemas.test_schemas import PLACES
from tests.directory.schemas.world import cases
from tests.peers.process import program


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param](request)


def flags(backend: Backend, folder: Path) -> list[str]:
    """The options that lead to the backend."""
    if not isinstance(backend, OnServer):
        return ["--driver", "sqlite", "--database", backend.place()["database"]]
    (folder / "secret").write_text(f"{backend.server.password}\n")
    where = ["--host", f"{backend.server.host}:{backend.server.port}"]
    who = ["--user", backend.server.user, "--passwd-file", str(folder / "secret")]
    return ["--driver", backend.driver, "--database", backend.server.database, *where, *who]


def init(backend: Backend, folder: Path, *more: str) -> tuple[int, Path]:
    file = folder / "check_user.conf"
    given = ["init", *flags(backend, folder), "--output", str(file), *more]
    return main([*given, "--listen", f"line unix:{folder}/line.sock"]), file


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
    """On each product's database init names the product, writes a configuration that proves itself
    and passes the manual's cases, readable by its owner alone; and check finds no error."""
    fill(name, backend)
    values = [f"--value={key}={value}" for key, value in PRODUCTS[name].values.items()]
    code, file = init(backend, tmp_path, "--delimiter", "+-", *values)
    out = capsys.readouterr().out
    assert code == 0, out
    assert f"schema={name}\n" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert out.count("\tknown") >= 1
    skills = PRODUCTS[name].skills
    expected = {case.address: case.answer for case in cases() if case.needs <= skills}
    found = reasons(file, list(expected))
    said = {text: source or reason.value for text, (reason, source) in found.items()}
    assert said == expected
    assert main(["check", "--config", str(file)]) == 0, capsys.readouterr().out


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


# Postfix's own maps, as the products publish them

MAPS = {
    # PostfixAdmin, for mysql_table and its like: three of recipients, one of domains
    "alias": "SELECT goto FROM alias WHERE address='%s' AND active = {yes}",
    "mailbox": "SELECT {maildir} FROM mailbox WHERE username='%s' AND active = {yes}",
    "alias_domain": "SELECT goto FROM alias,alias_domain WHERE alias_domain.alias_domain = '%d' "
    "and alias.address = {at_target} AND alias.active = {yes} AND alias_domain.active={yes}",
    "domains": "SELECT domain FROM domain WHERE domain='%s' AND active = {yes}",
}
KIND = {"mariadb": "mysql", "postgresql": "pgsql", "sqlite": "sqlite"}


def write_maps(backend: Backend, folder: Path) -> Iterator[tuple[str, Path]]:
    """The maps as files for the backend."""
    concat = {"mariadb": "CONCAT('%u', '@', alias_domain.target_domain)"}
    words = {
        "yes": "'1'" if backend.name == "mariadb" else "true",
        "maildir": "CONCAT(domain,'/')" if backend.name == "mariadb" else "domain || '/'",
        "at_target": concat.get(backend.name, "'%u' || '@' || alias_domain.target_domain"),
    }
    if isinstance(backend, OnServer):
        server = backend.server
        head = (
            f"user = {server.user}\npassword = {server.password}\n"
            f"hosts = {server.host}:{server.port}\ndbname = {server.database}\n"
        )
    else:
        head = f"dbpath = {backend.place()['database']}\n"
    for name, query in MAPS.items():
        file = folder / f"{name}.cf"
        file.write_text(f"# PostfixAdmin\n{head}query = {query.format(**words)}\n")
        yield name, file


def postmap(backend: Backend, file: Path, keys: list[str]) -> set[str]:
    """The keys for which Postfix finds something."""
    done = subprocess.run(
        [program("postmap", "postfix", "/usr/sbin"), "-q", "-", f"{KIND[backend.name]}:{file}"],
        input="".join(f"{key}\n" for key in keys), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "fatal" not in done.stderr, done.stderr
    return {line.split("\t")[0] for line in done.stdout.splitlines()}


def test_maps_are_taken_over(backend: Backend, tmp_path: Path) -> None:
    """200 addresses: whom the real Postfix finds through its maps is known, nobody else is."""
    fill("postfixadmin", backend)
    maps = dict(write_maps(backend, tmp_path))
    file = tmp_path / "check_user.conf"
    recipients = [str(maps[name]) for name in ("alias", "mailbox", "alias_domain")]
    given = ["--recipients", *recipients, "--domains", str(maps["domains"])]
    driver = ["--driver", "postgresql" if backend.name == "postgresql" else "mysql"]
    more = driver if isinstance(backend, OnServer) else []
    code = main(["init", *given, *more, "--output", str(file), "--address", "anna@example.org"])
    assert code == 0
    locals_ = [
        "anna", "bert", "list", "away", "former", "gone", "nobody", "carl", "info", "o'brien",
        "sales+eu", "anna+x", "missing", "emil", "nobody-home", "dora-lea", "x",
    ]  # fmt: skip
    domains = [
        "example.org", "example.net", "catchall.example", "all.example", "off.example",
        "elsewhere.example", "chain.example", "loop.example", "nowhere.example", "split.example",
        "offalias.example", "old.example",
    ]  # fmt: skip
    asked = [f"{local}@{domain}" for local, domain in itertools.product(locals_, domains)]
    assert len(asked) >= 200
    found: set[str] = set()
    for name in ("alias", "mailbox", "alias_domain"):
        found |= postmap(backend, maps[name], asked)
    everybody = postmap(backend, maps["alias"], [f"@{domain}" for domain in domains])
    ours = postmap(backend, maps["domains"], domains)
    for text, (reason, _) in reasons(file, asked).items():
        domain = text.rpartition("@")[2]
        there = text in found or f"@{domain}" in everybody
        expected = (Reason.KNOWN if there else Reason.UNKNOWN) if domain in ours else Reason.FOREIGN
        assert reason is expected, text


@pytest.mark.parametrize(
    ("query", "emails"),
    [
        (
            "SELECT a FROM t WHERE b = '%s'",
            "SELECT b FROM t WHERE b = :address UNION ALL "
            "SELECT b FROM t WHERE b = CONCAT('@', :domain)",
        ),
        ("SELECT a FROM t WHERE u = '%u' AND d = '%d'",
         "SELECT :address FROM (SELECT a AS found FROM t WHERE u = :user AND d = :domain) "
         "AS rows_found WHERE found IS NOT NULL AND found <> ''"),
        ("SELECT a FROM t WHERE b='%u@%d' AND n = '5%%'",
         "SELECT :address FROM (SELECT a AS found FROM t WHERE b=CONCAT(:user, '@', :domain) "
         "AND n = '5%') AS rows_found WHERE found IS NOT NULL AND found <> ''"),
    ],
)  # fmt: skip
def test_how_a_query_is_taken_over(tmp_path: Path, query: str, emails: str) -> None:
    """Escapes become placeholders, within texts too; the stored address comes back if there is a
    column that is compared with it."""
    file = tmp_path / "m.cf"
    file.write_text(f"hosts = unix:/run/s\n  inet:db:3307\ndbname = mail\nquery = {query}\n")
    each = read_map(file)
    assert each.place["socket"] == "/run/s"
    assert queries([each], [], "mysql")[0] == emails


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("query = SELECT 1 FROM users WHERE email LIKE '%%@%s'", "LIKE"),
        ("query = SELECT a FROM t WHERE b = '%S'", "%S"),
        ("dbname = x", "no query"),
        ("domain = x.example\nquery = SELECT a FROM t WHERE b = '%s'", "domain="),
        ("query = CALL p('%s')", "no query that selects"),
    ],
)
def test_what_is_not_taken_over(tmp_path: Path, content: str, complaint: str) -> None:
    """What can't be the same is refused, with the file's name."""
    file = tmp_path / "m.cf"
    file.write_text(content)
    with pytest.raises(MapError) as refused:
        queries([read_map(file)], [], "mysql")
    assert complaint in str(refused.value)
    assert str(file) in str(refused.value)


def test_an_old_map(tmp_path: Path) -> None:
    """Files from before Postfix 2.2 name table and fields."""
    file = tmp_path / "m.cf"
    file.write_text("table = alias\nselect_field = goto\nwhere_field = address\n"
                    "additional_conditions = and active = '1'\n")  # fmt: skip
    assert read_map(file).query == "SELECT goto FROM alias WHERE address = '%s' and active = '1'"
