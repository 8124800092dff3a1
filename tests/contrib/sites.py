"""Mail servers set up by ``check-user recipe`` alone, each with the door that it asks.

A site is made in a folder and not started. Its recipe is printed for a configuration with one door,
under a name that no snippet has. Exim, Sendmail, OpenSMTPD and Haraka find that door in a namespace
of their own; Postfix below its queue, which need not be where Debian has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from check_user.app.recipe import recipe as print_files
from check_user.config import parse
from tests.peers.exim import Exim
from tests.peers.haraka import Haraka
from tests.peers.opensmtpd import OpenSMTPD
from tests.peers.postfix import Postfix
from tests.peers.process import Server, free_port
from tests.peers.qpsmtpd import ARGUMENTS, Qpsmtpd
from tests.peers.sendmail import Sendmail
from tests.peers.smtp import OUR_DOMAINS

CONTRIB = Path(__file__).parents[2] / "contrib"
RELAY_DOMAINS = f"relay_domains = {', '.join(OUR_DOMAINS)}\n"

SOCKET = "asked.sock"
RUN = "/run/check_user"
QUEUE = "/var/spool/postfix/check_user"

CONFIGURATION = """\
driver=sqlite
database=accounts.sqlite
email_table=accounts
email_address=address
domain_table=domains
domain_domain=domain
listen={listen}
"""

OTHER_RESULT = b"10:OK REJECT ,"
"""Any result of access(5) is one to Postfix, and any text a found key."""

TWO_ANSWERS = (b"DENY no\nDENY no\n", b"DECLINED known\nDENY no\n")
"""The filter for OpenSMTPD takes the first: it may have asked ahead."""

PATIENCE = 110.0
"""Seconds; the longest that a test waits for a reply."""

MailServer = Exim | Haraka | OpenSMTPD | Postfix | Qpsmtpd | Sendmail


@dataclass(frozen=True)
class Site:
    """A mail server, and where check_user must listen for it: ``DOOR ADDRESS``.

    Its recipe says how long it waits, in seconds: ``hung`` for a check_user that hangs (None: for
    longer than a test can wait), ``away`` for one that isn't there, ``frozen`` for one whose
    database hangs: once or twice ``lookup_timeout``, as many questions as it has.
    """

    server: MailServer
    door: str
    hung: float | None = 5.0
    away: float = 1.0
    frozen: float = 3.0
    passes_codes: bool = True
    """Whether the client sees check_user's own enhanced status codes."""
    resumes: bool = True
    """Whether a session in which check_user was away may have right answers again."""
    understood: tuple[bytes, ...] = ()
    """What would be garbage to others, and is an answer here."""

    @property
    def where(self) -> Path | int:
        """The door's socket, or its port."""
        address = self.door.partition(" ")[2]
        return Path(address.removeprefix("unix:")) if "unix" in address else int(address[-5:])


@contextmanager
def running(server: Server) -> Iterator[None]:
    """Start a server, and stop it whatever happens."""
    server.start()
    try:
        yield
    finally:
        server.stop()


def below(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


def recipe(folder: Path, mail_server: str, listen: str) -> Path:
    """A folder with the files of a recipe, for a configuration with one door."""
    made = below(folder, "recipe")
    settings = parse(folder / "check_user.conf", CONFIGURATION.format(listen=listen).encode())
    for name, text in print_files(settings, mail_server).files.items():
        (made / name).write_text(text)
    return made


def exim(folder: Path) -> Site:
    run = below(folder, "run")
    acl = recipe(folder, "exim", f"exim unix:{RUN}/{SOCKET}") / "acl_check_rcpt"
    server = Exim(below(folder, "exim"), acl.read_text(), run)
    return Site(server, f"exim unix:{run}/{SOCKET}", resumes=False)


def sendmail(folder: Path, door: str) -> Site:
    run = below(folder, "run")
    macros = recipe(folder, "sendmail", f"{door} unix:{RUN}/{SOCKET}") / f"{door}.mc"
    server = Sendmail(below(folder, "sendmail"), macros.read_text(), run)
    hung = 30.0 if door == "socketmap" else 5.0
    return Site(server, f"{door} unix:{run}/{SOCKET}", hung=hung, resumes=False)


def postfix(folder: Path, snippet: str) -> Site:
    door = snippet.partition("-")[0]
    port = free_port()
    listen = f"{door} unix:{QUEUE}/{SOCKET}"
    if door == "tcp_table":
        listen = f"{door} inet:127.0.0.1:{port}"
    settings = (recipe(folder, "postfix", listen) / f"{snippet}.main.cf").read_text()
    if "relay_domains =" not in settings and "virtual_mailbox_domains =" not in settings:
        settings = RELAY_DOMAINS + settings
    server = Postfix(below(folder, "postfix"), settings)
    sockets = below(server.queue, "check_user")
    if door == "tcp_table":
        return Site(server, listen, hung=None, away=12.0, passes_codes=False)
    opened = f"{door} unix:{sockets}/{SOCKET}"
    if snippet == "policy":
        return Site(server, opened, hung=11.0, away=2.0)
    if snippet == "milter":
        return Site(server, opened, resumes=False)
    is_access = snippet == "socketmap-access"
    frozen = 3.0 if is_access else 6.0
    return Site(
        server,
        opened,
        hung=100.0,
        frozen=frozen,
        passes_codes=is_access,
        resumes=not is_access,
        understood=(OTHER_RESULT,),
    )


def opensmtpd(folder: Path) -> Site:
    run = below(folder, "run")
    settings = recipe(folder, "opensmtpd", f"line unix:{RUN}/{SOCKET}") / "smtpd.conf"
    server = OpenSMTPD(below(folder, "opensmtpd"), settings.read_text(), run)
    return Site(server, f"line unix:{run}/{SOCKET}", hung=4.0, understood=TWO_ANSWERS)


def haraka(folder: Path) -> Site:
    run = below(folder, "run")
    files = recipe(folder, "haraka", f"line unix:{RUN}/{SOCKET}")
    server = Haraka(below(folder, "haraka"), files, run)
    return Site(server, f"line unix:{run}/{SOCKET}", hung=4.0)


def qpsmtpd(folder: Path, kind: str) -> Site:
    door = f"line unix:{below(folder, 'run')}/{SOCKET}"
    files = recipe(folder, "qpsmtpd", door)
    plugins = (files / "plugins").read_text()
    server = Qpsmtpd(below(folder, kind), kind, plugins, plugin_files=[files / "check_user"])
    return Site(server, door, hung=4.0, passes_codes=False)


SNIPPETS = (
    "policy",
    "socketmap-access",
    "socketmap-relay_recipient_maps",
    "socketmap-virtual_mailbox_maps",
    "milter",
    "tcp_table",
)
"""Postfix's."""

SITES: dict[str, Callable[[Path], Site]] = {
    **{f"postfix {snippet}": partial(postfix, snippet=snippet) for snippet in SNIPPETS},
    "exim": exim,
    **{f"sendmail {door}": partial(sendmail, door=door) for door in ("milter", "socketmap")},
    "opensmtpd": opensmtpd,
    "haraka": haraka,
    **{f"qpsmtpd {kind}": partial(qpsmtpd, kind=kind) for kind in sorted(ARGUMENTS)},
}
