"""qpsmtpd's configuration files: one thing a line. Read once, at start (lib/Qpsmtpd/Config.pm).

    # a comment, where '#' is the first character of the line
    check_user
      rcpt_ok
    $include more-plugins

- blanks around a line don't count; empty lines and comments are skipped; a ``#`` further on belongs
  to the line; there are no quotes and no continued lines;
- ``$include NAME`` stands for the lines of that file, ``$include FOLDER`` for those of the folder's
  files in the order of their names, hidden ones left out. A name is looked for in the folder of the
  configuration, a path that begins with ``/`` is taken as it is.

The files, each of which may be missing but for ``plugins``::

    plugins        name and arguments, separated by blanks, printable ASCII
    me             our name, on the first line; without the file the host's
    rcpthosts      ours.example, or .ours.example for every domain below that one
    relayclients   192.0.2.1, 192.0.2. or 192.0.2.0/24; 2001:db8::1, 2001:db8: or 2001:db8::/32

What qpsmtpd passes over is an error here, since a line that isn't understood is a domain whose mail
is refused or a stranger who may relay: a file that isn't there, a circle of files, an address that
isn't one. For the same reason qpsmtpd's further lists (``UNSUPPORTED``) must not be there at all.

Two things differ on purpose: a network in CIDR form has its first and last address in it (qpsmtpd
leaves them out), and ``::1`` may relay only where a line says so.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path

from check_user.address import Malformed, canonical_domain, parse_domain
from check_user.gateway.error import GatewayError

LONGEST_FILE = 1 << 24
"""Octets of one file: half a million domains, and ``$include /dev/zero`` must end."""

UNSUPPORTED = {
    "morercpthosts": "put its domains into rcpthosts",
    "morercpthosts.cdb": "put its domains into rcpthosts",
    "morerelayclients": "put its addresses into relayclients",
    "morerelayclients.cdb": "put its addresses into relayclients",
    "norelayclients": "take its addresses out of relayclients",
}
"""Files that qpsmtpd reads, and what to do instead. Without them its verdicts would be others."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line that says something, and where it stands."""

    file: Path
    number: int
    text: str

    def error(self, message: str) -> GatewayError:
        """Make the error that names this line."""
        return GatewayError(self.file, self.number, message)


def read_lines(folder: Path, name: str) -> list[Line]:
    """Give the lines of a file, includes put in; none when there is no such file.

    Raises GatewayError.
    """
    file = folder / name
    return list(_lines(folder, file, (file,))) if file.exists() else []


def read_me(folder: Path, host_name: Callable[[], str] = socket.gethostname) -> str:
    """Give our name: the first line of ``me``, else the host's, which asks no DNS.

    Raises GatewayError.
    """
    for line in read_lines(folder, "me"):
        if isinstance(domain := parse_domain(line.text), Malformed):
            raise line.error(f"'{line.text}' is no domain")
        return domain.key
    name = host_name()
    if isinstance(domain := parse_domain(name), Malformed):
        raise GatewayError(folder / "me", 0, f"the host's name '{name}' is no domain; write one")
    return domain.key


def refuse_unsupported(folder: Path) -> None:
    """Raise GatewayError where a list lies that qpsmtpd reads and we don't."""
    for name, advice in UNSUPPORTED.items():
        if (file := folder / name).exists():
            raise GatewayError(file, 0, f"{name} isn't supported: {advice}, and remove the file")


class RcptHosts:
    """The domains that mail is taken for: those of ``rcpthosts``, and ``me``."""

    def __init__(self, folder: Path, me: str) -> None:
        """Read them. Raises GatewayError."""
        self._whole = {me}
        self._above: set[str] = set()
        for line in read_lines(folder, "rcpthosts"):
            name = line.text.removeprefix(".")
            key = canonical_domain(name)
            if key is None:
                raise line.error(f"'{line.text}' is no domain")
            (self._above if line.text.startswith(".") else self._whole).add(key)

    def __contains__(self, domain: str) -> bool:
        """Whether a domain is one of them; ``domain`` is a :class:`Domain`'s key."""
        if domain in self._whole:
            return True
        if not self._above:
            return False
        labels = domain.split(".")
        return any(".".join(labels[start:]) in self._above for start in range(1, len(labels)))


class RelayClients:
    """The clients that may send mail to anybody: those of ``relayclients``."""

    def __init__(self, folder: Path) -> None:
        """Read them. Raises GatewayError."""
        self._addresses: set[IPv4Address | IPv6Address] = set()
        self._networks: list[IPv4Network | IPv6Network] = []
        for line in read_lines(folder, "relayclients"):
            try:
                self._add(line.text)
            except ValueError as error:
                raise line.error(f"not an address, prefix or network: {error}") from None

    def __contains__(self, client: str) -> bool:
        """Whether a client is one of them; ``client`` is its address, anything else is not."""
        try:
            address = ip_address(client)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return address in self._addresses or any(address in each for each in self._networks)

    def _add(self, text: str) -> None:
        if "/" in text:
            self._networks.append(ip_network(text))
        elif text.endswith("."):
            octets = text[:-1].split(".")
            _require_prefix(octets, 4)
            whole = ".".join([*octets, *["0"] * (4 - len(octets))])
            self._networks.append(ip_network(f"{whole}/{8 * len(octets)}"))
        elif text.endswith(":") and not text.endswith("::"):
            groups = text[:-1].split(":")
            _require_prefix(groups, 8)
            self._networks.append(ip_network(f"{text}:/{16 * len(groups)}"))
        else:
            self._addresses.add(ip_address(text))


def _require_prefix(parts: list[str], whole: int) -> None:
    """Raise ValueError for what isn't the beginning of an address of ``whole`` parts."""
    if not all(parts) or len(parts) >= whole:
        raise ValueError("a prefix has some parts of an address, and none of them is empty")


def _lines(folder: Path, file: Path, above: tuple[Path, ...]) -> Iterator[Line]:
    for number, raw in enumerate(_read(file).split(b"\n"), 1):
        stripped = raw.strip()
        if not stripped or stripped.startswith(b"#"):
            continue
        try:
            line = Line(file, number, stripped.decode())
        except UnicodeDecodeError:
            raise GatewayError(file, number, "not UTF-8") from None
        keyword, *names = line.text.split()
        if keyword == "$include" and len(names) == 1:
            for each in _included(folder, line, names[0]):
                if each in above:
                    raise line.error(f"{each} includes itself")
                yield from _lines(folder, each, (*above, each))
        else:
            yield line


def _included(folder: Path, line: Line, name: str) -> list[Path]:
    path = folder / name
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.is_file())
        return [each for each in files if not each.name.startswith(".")]
    if not path.exists():
        raise line.error(f"there is no {path}")
    return [path]


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(LONGEST_FILE + 1)
    except OSError as error:
        raise GatewayError(file, 0, f"can't be read: {error.strerror}") from None
    if len(data) > LONGEST_FILE:
        raise GatewayError(file, 0, f"is larger than {LONGEST_FILE} octets")
    return data
