"""The table of doors, and how an error in it is told."""

from __future__ import annotations

import pytest

from check_user.app.build import sql_options
from check_user.app.demo import PORTS
from check_user.app.doors import CODECS, LATER, SMTP, doors_of
from check_user.config import ConfigError, parse
from check_user.servers.listen import Inet, Unix
from tests.config.test_lines import BASE, FILE, settings, write


def test_every_door_has_a_codec_of_its_own() -> None:
    """A door of this version makes a new codec each time, and is not one of a later version."""
    for name, codec in CODECS.items():
        assert codec() is not codec()
        assert name not in LATER


def test_a_door_gets_its_sockets_mode_and_owner() -> None:
    """A unix socket has the configuration's mode and owner; a TCP door has its host and port."""
    lines = b"listen=policy inet:[::1]:10040\nlisten=line unix:/run/x.sock\nsocket_mode=600\n"
    doors = doors_of(parse(FILE, write(socket_user="u", socket_group="g") + lines))
    assert [(door.name, door.endpoint) for door in doors] == [
        ("policy", Inet("::1", 10040)),
        ("line", Unix("/run/x.sock", 0o600, "u", "g")),
    ]


@pytest.mark.parametrize(
    ("listen", "word"),
    [
        *((f"{door} inet:127.0.0.1:1", "later version") for door in LATER),
        ("polcy inet:127.0.0.1:1", "there are exim, line, milter, policy, socketmap, tcp_table"),
        ("policy inet:127.0.0.1", "inet:HOST:PORT"),
        ("policy inet:::1:10040", "brackets"),
        ("policy inet:127.0.0.1:65536", "65535"),
        ("policy unix:relative", "absolute"),
        ("policy unix:/" + "x" * 107, "107"),
    ],
)
def test_a_wrong_door_is_an_error_at_its_line(listen: str, word: str) -> None:
    """A door or address that can't be is an error at its line of the configuration."""
    with pytest.raises(ConfigError, match=word) as caught:
        doors_of(parse(FILE, write() + f"listen={listen}\n".encode()))
    assert (caught.value.line, caught.value.key) == (len(BASE) + 1, "listen")


def test_the_demo_opens_every_door() -> None:
    """The demo has a port for every door of this version."""
    assert PORTS.keys() == {*CODECS, SMTP}


def test_every_setting_reaches_the_directory() -> None:
    """What the SQL directory is told is what the configuration says."""
    found = sql_options(
        settings(
            host="db1:3307,db2",
            tls_ca="/ca.pem",
            tls_cert="/cert.pem",
            tls_key="/key.pem",
            email_enabled="is_enabled",
            email_enabled_value="yes",
            connections="7",
            stored_form="canonical",
            lookup_timeout="2.5",
        )
    )
    assert (found.driver, found.database, found.user, found.password) == (
        "mysql",
        "maildb",
        "qpsmtpd",
        "secret",
    )
    assert found.hosts == (("db1", 3307), ("db2", None))
    assert found.tls
    assert (found.tls.ca, found.tls.cert, found.tls.key) == ("/ca.pem", "/cert.pem", "/key.pem")
    assert (found.email_table, found.domain_table) == ("emailtable", "emailtable")
    assert (found.email_address, found.email_user, found.email_domain) == ("address", "", "")
    assert (found.domain_domain, found.email_enabled) == ("domain", "is_enabled")
    assert (found.email_enabled_value, found.connections) == ("yes", 7)
    assert (found.stored_canonical, found.lookup_timeout) == (True, 2.5)
    two = sql_options(settings(email_address="", email_user="u", email_domain="d", socket="/s"))
    assert (two.email_user, two.email_domain, two.socket, two.tls) == ("u", "d", "/s", None)
