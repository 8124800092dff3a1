"""Mail servers set up by the snippets of ``contrib/`` alone, each with the door that it asks.

A site is made in a folder and not started. Exim and Sendmail find the door's socket where the
snippet says, in a namespace of their own; to Postfix its address is told, since its sockets lie
below its queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers.exim import Exim
from tests.peers.postfix import Postfix
from tests.peers.process import Server, free_port
from tests.peers.sendmail import Sendmail

CONTRIB = Path(__file__).parents[2] / "contrib"
OUR_DOMAINS = "relay_domains = ours.example\n"


@dataclass(frozen=True)
class Site:
    """A mail server, and where check_user must listen for it: ``DOOR ADDRESS``.

    ``limit`` is how long the mail server waits for a check_user that hangs, in seconds, and
    ``away`` for one that isn't there; None: longer than a test can wait.
    """

    server: Exim | Sendmail | Postfix
    door: str
    limit: float | None = 5.0
    away: float = 1.0

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


def exim(folder: Path) -> Site:
    run = below(folder, "run")
    acl = (CONTRIB / "exim" / "acl_check_rcpt").read_text()
    return Site(Exim(below(folder, "exim"), acl, run), f"exim unix:{run}/exim.sock")


def sendmail_milter(folder: Path) -> Site:
    run = below(folder, "run")
    macros = (CONTRIB / "sendmail" / "milter.mc").read_text()
    server = Sendmail(below(folder, "sendmail"), macros, run)
    return Site(server, f"milter unix:{run}/milter.sock")


def sendmail_socketmap(folder: Path) -> Site:
    run = below(folder, "run")
    macros = (CONTRIB / "sendmail" / "socketmap.mc").read_text()
    server = Sendmail(below(folder, "sendmail"), macros, run)
    return Site(server, f"socketmap unix:{run}/socketmap.sock", limit=30.0)


def postfix_milter(folder: Path) -> Site:
    settings = (CONTRIB / "postfix" / "milter.main.cf").read_text()
    server = Postfix(below(folder, "postfix"), OUR_DOMAINS + settings)
    sockets = below(server.queue, "check_user")
    return Site(server, f"milter unix:{sockets}/milter.sock")


def postfix_tcp_table(folder: Path) -> Site:
    settings = (CONTRIB / "postfix" / "tcp_table.main.cf").read_text()
    address = "tcp:127.0.0.1:10043"
    assert settings.count(address) == 1
    port = free_port()
    settings = settings.replace(address, f"tcp:127.0.0.1:{port}")
    server = Postfix(below(folder, "postfix"), OUR_DOMAINS + settings)
    return Site(server, f"tcp_table inet:127.0.0.1:{port}", limit=None, away=12.0)


SITES: dict[str, Callable[[Path], Site]] = {
    "exim": exim,
    "sendmail-milter": sendmail_milter,
    "sendmail-socketmap": sendmail_socketmap,
    "postfix-milter": postfix_milter,
    "postfix-tcp_table": postfix_tcp_table,
}
