"""OpenSMTPD 6.8 from Debian's package, unpacked: nothing is installed.

It has paths and accounts compiled in; in the namespace of the server there are such. Its filters
run as the account that runs the tests, since others may not be able to read the tests' Python.
Whoever is at our domains has a mailbox; 127.0.0.2 may relay. No mail is delivered. Its clients'
names are in a file and nowhere else: it greets nobody whose name it hasn't asked for, and its
resolver (libasr) would ask the DNS first.

smtpd ends when a filter does, and of those it started a filter that hangs would be left; ``stop``
ends that one too.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.peers.namespace import in_namespace
from tests.peers.packages import unpacked
from tests.peers.process import Server, descendants, free_port
from tests.peers.smtp import OUR_DOMAINS, OUTSIDER, RELAY_CLIENT, Session

ACCOUNTS = ("opensmtpd", "opensmtpq")
LISTENER = "listen on 0.0.0.0 port 25"
"""How the line in ``contrib/opensmtpd`` begins, once."""

HOSTS = f"""\
127.0.0.1 localhost
{RELAY_CLIENT} relay.example
{OUTSIDER} client.example
"""
DOMAINS = ", ".join(f'"{domain}"' for domain in OUR_DOMAINS)
RULES = f"""
action "mailbox" maildir "/nonexistent" virtual {{ "@" = root }}
action "relay" relay
match from any for domain {{ {DOMAINS} }} action "mailbox"
match from src {RELAY_CLIENT} for any action "relay"
"""


class OpenSMTPD(Server):
    """One instance; ``settings`` are smtpd.conf lines with one listener, before the rules.

    ``run`` is its /run/check_user; check_user is installed in its /opt.
    """

    def __init__(self, folder: Path, settings: str, run: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.program = unpacked("opensmtpd") / "usr/sbin/smtpd"
        assert settings.count(LISTENER) == 1
        self.file = folder / "smtpd.conf"
        self.file.write_text(
            settings.replace(LISTENER, f"listen on 127.0.0.1 port {self.port}") + RULES
        )
        self.file.chmod(0o600)
        for name in ("spool", "lib/opensmtpd/empty", "opt/check_user/bin"):
            (folder / name).mkdir(parents=True)
        (folder / "spool").chmod(0o711)
        program = folder / "opt/check_user/bin/check-user"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m check_user "$@"\n')
        program.chmod(0o755)
        self.seen = {
            "/run/check_user": run,
            "/opt": folder / "opt",
            "/var/spool": folder / "spool",
            "/var/lib": folder / "lib",
            "/usr/libexec": unpacked("opensmtpd") / "usr/libexec",
        }
        etc = {"hosts": HOSTS, "resolv.conf": "lookup file\n"}
        for name, ids in (("passwd", "0:0::/nonexistent:/bin/false"), ("group", "0:")):
            added = [f"{account}:x:{ids}\n" for account in ACCOUNTS]
            etc[name] = Path("/etc", name).read_text() + "".join(added)
        for name, text in etc.items():
            (folder / name).write_text(text)
            self.seen[f"/etc/{name}"] = folder / name

    def command(self) -> list[str]:
        return in_namespace([str(self.program), "-d", "-f", str(self.file)], self.seen)

    def answers(self) -> bool:
        try:
            with Session(self.port) as session:
                return session.greeting[0] == 220
        except OSError:
            return False

    def filters(self) -> list[int]:
        """The processes of the filter: those that run Python."""
        return [
            pid
            for pid in descendants(self.pid)
            if b"opensmtpd\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
