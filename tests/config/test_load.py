"""The rules between keys, the password file, and where a configuration is looked for."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import pytest

from check_user.config import (
    KEYS,
    ConfigError,
    Listen,
    Secret,
    find,
    in_force,
    load,
    parse,
    reference,
)
from check_user.config.loader import SEARCHED
from tests.config.test_lines import BASE, FILE, refusal, settings, write

ROOT = Path(__file__).parents[2]


def test_a_file_of_2007_works_unchanged() -> None:
    """The original's seven keys and a way to name the address are a whole configuration."""
    found = load(ROOT / "tests/config/2007-mysql.conf")
    assert (found.driver, found.database, found.hosts) == ("mysql", "maildb", ())
    assert (found.email_user, found.email_domain, found.email_address) == (
        "local_part",
        "domain",
        "",
    )
    assert found.passwd.reveal() == ""
    assert found.tls == "off"
    assert found.listen == (Listen("line", "unix:/run/check_user/line.sock"),)


RANGES = {
    name: found.groups()
    for name, key in KEYS.items()
    if (found := re.search(r"([0-9.]+) to ([0-9.]+)$", key.type.word))
}


@pytest.mark.parametrize("key", RANGES)
def test_what_the_reference_allows_is_allowed(key: str) -> None:
    """Both ends of the range that the reference names are values; what is beyond is an error that
    names the range."""
    low, high = RANGES[key]
    for value in (low, high):
        taken = settings(**{key: value})
        assert f"\n{key}={value}\n" in in_force(taken)
    for value in (str(int(float(high)) + 1), "9" * 400):
        assert f"{value} is not between {low} and {high}" in str(refusal(write(**{key: value})))


@pytest.mark.parametrize("key", [k for k in BASE if k not in ("email_address", "passwd")])
def test_a_missing_key_is_named(key: str) -> None:
    """Every key of 2007 must be there; the error names the one that isn't."""
    assert f"missing: {key}" in str(refusal(write(**{key: None})))


def test_an_address_needs_its_field_or_both_parts() -> None:
    """Without email_address, email_user and email_domain are both needed."""
    assert "email_address (or email_user and email_domain)" in str(
        refusal(write(email_address=None))
    )
    assert "missing: email_domain" in str(refusal(write(email_address=None, email_user="u")))
    both = settings(email_address="", email_user="u", email_domain="d")
    assert (both.email_user, both.email_domain) == ("u", "d")


def test_email_address_wins() -> None:
    """With email_address given, email_user and email_domain are ignored."""
    found = settings(email_user="u", email_domain="d")
    assert (found.email_address, found.email_user, found.email_domain) == ("address", "", "")


def test_enabled_goes_with_its_value() -> None:
    """email_enabled needs email_enabled_value, which may be empty, and the other way round."""
    assert refusal(write(email_enabled="is_enabled")).key == "email_enabled"
    assert refusal(write(email_enabled_value="yes")).key == "email_enabled_value"
    assert settings(email_enabled="f", email_enabled_value="").email_enabled == "f"
    found = settings(email_enabled="is_enabled", email_enabled_value="yes")
    assert found.email_enabled_value == "yes"


@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        ("mysql", "mysql"),
        ("MariaDB", "mysql"),
        ("Pg", "postgresql"),
        ("PostgreSQL", "postgresql"),
        ("SQLite", "sqlite"),
        ("oracle+oracledb_async", "oracle+oracledb_async"),
    ],
)
def test_drivers_by_every_name(name: str, dialect: str) -> None:
    """A driver is known by DBI's name, by its common one, in any case, or as a dialect."""
    assert settings(driver=name).driver == dialect


def test_a_driver_misspelt_is_an_error() -> None:
    """A driver that nobody knows is an error that says what was meant."""
    assert "did you mean 'mysql'" in str(refusal(write(driver="msql")))


@pytest.mark.parametrize(
    ("driver", "text", "database", "hosts", "socket"),
    [
        ("mysql", "maildb", "maildb", (), ""),
        ("mysql", "maildb;host=db1;port=3307", "maildb", (("db1", 3307),), ""),
        ("mysql", "database=maildb;hostname=db1", "maildb", (("db1", None),), ""),
        ("mysql", "dbname=maildb; host = db1 ;", "maildb", (("db1", None),), ""),
        ("mysql", "maildb:db1:3307", "maildb", (("db1", 3307),), ""),
        ("mysql", "maildb;host=[::1];port=3307", "maildb", (("::1", 3307),), ""),
        ("mysql", "maildb;mysql_socket=/run/m.sock", "maildb", (), "/run/m.sock"),
        ("mysql", "maildb;host=localhost;mysql_socket=/m", "maildb", (), "/m"),
        ("mysql", "maildb;host=db1;mysql_socket=/m", "maildb", (("db1", None),), ""),
        ("mysql", "maildb;mysql_connect_timeout=2", "maildb", (), ""),
        ("mysql+aiomysql", "maildb:db1", "maildb", (("db1", None),), ""),
        ("Pg", "dbname=maildb;host=/run/postgresql", "maildb", (), "/run/postgresql"),
        ("Pg", "maildb;host=::1;port=5433", "maildb", (("::1", 5433),), ""),
        ("SQLite", "dbname=/var/lib/a.db", "/var/lib/a.db", (), ""),
        ("SQLite", "/var/lib/a;b:c.db", "/var/lib/a;b:c.db", (), ""),
    ],
)
def test_database_in_dbis_ways(
    driver: str,
    text: str,
    database: str,
    hosts: tuple[tuple[str, int | None], ...],
    socket: str,
) -> None:
    """'database' may be all that DBI takes after the driver's name."""
    found = settings(driver=driver, database=text)
    assert (found.database, found.hosts, found.socket) == (database, hosts, socket)
    assert found.tls == "off"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("maildb;mysql_ssl=1", "tls=verify"),
        ("maildb;password=hunter2", "'passwd'"),
        ("maildb;hots=db1", "did you mean 'host'"),
        ("host=db1", "names no database"),
        ("maildb;port=http", "not a port"),
    ],
)
def test_a_dbi_attribute_that_matters_is_not_dropped(text: str, word: str) -> None:
    """An attribute that we don't have is an error with advice, and shows no value of it."""
    error = refusal(write(database=text))
    assert error.key == "database"
    assert word in str(error)
    assert "hunter2" not in str(error)


def test_several_hosts() -> None:
    """'host' lists hosts, each with its own port or the common one."""
    found = settings(host="db1, db2:3307 [2001:db8::1]:3308,::1", port="3306")
    assert found.hosts == (
        ("db1", 3306),
        ("db2", 3307),
        ("2001:db8::1", 3308),
        ("::1", 3306),
    )


def test_a_host_has_one_place() -> None:
    """A host or port in 'database' and in a key of its own is an error; so is host with socket."""
    assert refusal(write(database="maildb;host=a", host="b")).key == "host"
    assert refusal(write(database="maildb;port=1", port="1")).key == "port"
    assert refusal(write(host="a", socket="/run/x")).key == "socket"


@pytest.mark.parametrize(
    ("changes", "tls"),
    [
        ({}, "off"),
        ({"host": "localhost,127.0.0.2,::1"}, "off"),
        ({"socket": "/run/m.sock"}, "off"),
        ({"host": "db1"}, "verify"),
        ({"host": "localhost,db1"}, "verify"),
        ({"host": "db1", "tls": "OFF"}, "off"),
        ({"database": "maildb;host=db1"}, "off"),
        ({"database": "maildb;host=db1", "tls": "verify"}, "verify"),
    ],
)
def test_tls_by_default(changes: dict[str, str], tls: str) -> None:
    """TLS is verified for a host of our own key that isn't this machine, and as written."""
    assert settings(**changes).tls == tls


def test_tls_files_go_with_tls() -> None:
    """A TLS file without TLS, or a certificate without its key, is an error."""
    assert refusal(write(tls_ca="ca.pem")).key == "tls_ca"
    assert refusal(write(host="db1", tls_cert="c.pem")).key == "tls_cert"
    assert refusal(write(socket="/run/m.sock", tls="verify")).key == "tls"
    assert settings(host="db1", tls_ca="ca.pem").tls_ca == "/etc/qpsmtpd/ca.pem"


def test_sqlite_needs_no_user() -> None:
    """SQLite has neither user nor password, so neither must be given."""
    found = settings(driver="SQLite", database="/x.db", user=None, passwd=None)
    assert (found.user, found.passwd) == ("", Secret())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", "0"),
        ("port", "65536"),
        ("port", "３３０６"),
        ("lookup_timeout", "soon"),
        ("lookup_timeout", "0.1"),
        ("lookup_timeout", "nan"),
        ("lookup_timeout", "-3"),
        ("connections", "2.5"),
        ("connections", "1e3"),
        ("tls", "on"),
        ("stored_form", "lower"),
        ("socket_mode", "660x"),
        ("socket_mode", "0888"),
        ("socket", "run/x"),
        ("host", "a/b"),
        ("host", "[::1"),
        ("recipient_delimiter", "+a"),
        ("recipient_delimiter", "@"),
        ("recipient_delimiter", "+ -"),
        ("bounce_forms", "srs verp"),
        ("log_level", "loud"),
        ("log_format", "xml"),
        ("listen", "policy"),
        ("listen", "policy 127.0.0.1:10040"),
        ("listen", "policy inet:"),
        ("listen", "Policy inet:127.0.0.1:10040"),
        ("listen", "policy tcp:127.0.0.1:10040"),
        ("listen", "unix:/run/x"),
        ("listen", ""),
    ],
)
def test_a_wrong_value_is_an_error_at_its_line(key: str, value: str) -> None:
    """A value that its type doesn't have is an error at the value's line."""
    error = refusal(write(**{key: value}))
    assert (error.key, error.line) == (key, len(BASE) + 1)


def test_listen_repeats() -> None:
    """Doors are kept in the order given; one address can't be two doors."""
    lines = b"listen=policy inet:[::1]:10040\nlisten=line  unix:/run/check_user/line.sock\n"
    found = parse(FILE, write() + lines).listen
    assert found == (
        Listen("policy", "inet:[::1]:10040"),
        Listen("line", "unix:/run/check_user/line.sock"),
    )
    assert [listen.line for listen in found] == [len(BASE) + 1, len(BASE) + 2]
    twice = refusal(write() + lines + b"listen=socketmap inet:[::1]:10040\n")
    assert (twice.line, twice.key) == (len(BASE) + 3, "listen")


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_password_from_a_file(tmp_path: Path, end: bytes) -> None:
    """The password file's line is the password, blanks included, its line end excluded."""
    (tmp_path / "pw").write_bytes(b" p#=w " + end)
    data = write(passwd=None, passwd_file="pw")
    assert parse(tmp_path / "conf", data).passwd.reveal() == " p#=w "
    assert parse(tmp_path / "conf", data + b"passwd=\n").passwd.reveal() == " p#=w "


@pytest.mark.fault("OS07")
@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "No such file"),
        (b"", "empty"),
        (b"\n", "empty"),
        (b"a\nb\n", "one line"),
        (b"\xff", "UTF-8"),
        (b"x" * 5000, "larger"),
    ],
)
def test_an_unusable_password_file_is_an_error(
    tmp_path: Path, content: bytes | None, word: str
) -> None:
    """A password file that is absent, empty, or not one line is an error without its content."""
    if content is not None:
        (tmp_path / "pw").write_bytes(content)
    with pytest.raises(ConfigError, match=word) as caught:
        parse(tmp_path / "conf", write(passwd=None, passwd_file="pw"))
    assert caught.value.key == "passwd_file"


def test_one_password() -> None:
    """A password and a password file together are an error; neither is one, too."""
    assert refusal(write(passwd_file="pw")).key == "passwd_file"
    assert "missing: passwd" in str(refusal(write(passwd=None)))


@pytest.mark.fault("AB06")
def test_a_secret_shows_nowhere() -> None:
    """The password is in no repr, str, format, settings in force or copy of them (AB06)."""
    found = settings(passwd="hunter2")
    shown = [repr(found), str(found), f"{found.passwd}", f"{found.passwd!r:>9}", in_force(found)]
    shown.append(repr(copy.deepcopy(found)))
    assert not any("hunter2" in text for text in shown)
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.fault("AB06")
@pytest.mark.parametrize("line", ["hunter2", "user=hunter2\0", "passwd=hunter2"])
def test_an_error_shows_no_secret(line: str) -> None:
    """A line that may hold a password is never quoted in an error (AB06)."""
    assert "hunter2" not in str(refusal(write() + line.encode()))
    assert "hunter2" not in repr(refusal(write() + line.encode()))


def test_what_is_in_force_is_a_configuration() -> None:
    """The settings in force, put back into a file, are the same settings."""
    found = settings(
        passwd="",
        host="db1:3307, db2",
        listen="policy inet:[::1]:10040",
        recipient_delimiter="+-",
        bounce_forms="BATV, srs",
        lookup_timeout="2.5",
        socket_mode="600",
    )
    again = in_force(found).replace("(empty)", "").encode()
    assert parse(FILE, again) == found


def test_the_reference_has_every_key() -> None:
    """The reference names every key, and docs/configuration.md is that reference."""
    text = reference()
    assert all(f"- `{name}` (" in text for name in KEYS)
    assert all(len(line) <= 100 for line in text.splitlines())
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert page == text, "run: check-user config --reference > docs/configuration.md"


def test_where_a_configuration_is_looked_for(tmp_path: Path) -> None:
    """--config comes first, then the environment, then the first place that has a file."""
    places = (tmp_path / "new", tmp_path / "old")
    assert [str(place) for place in SEARCHED] == [
        "/etc/check_user/check_user.conf",
        "/etc/qpsmtpd/check_user",
    ]
    with pytest.raises(ConfigError, match=r"looked in \$CHECK_USER_CONFIG"):
        find(None, {}, places)
    places[1].touch()
    assert find(None, {"CHECK_USER_CONFIG": ""}, places) == places[1]
    places[0].touch()
    assert find(None, {}, places) == places[0]
    assert find(None, {"CHECK_USER_CONFIG": "/nowhere"}) == Path("/nowhere")
    assert find("/given", {"CHECK_USER_CONFIG": "/nowhere"}) == Path("/given")


@pytest.mark.fault("OS07")
def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """An absent file, a folder and an endless file are errors that name the file (OS07)."""
    for path in (tmp_path / "absent", tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigError, match=str(path)):
            load(path)
