"""From an address in the configuration to listening sockets.

    inet:127.0.0.1:10025    inet:[::1]:10025    inet:localhost:10025    inet:*:10025
    unix:/run/check_user/policy.sock

A host name is bound at every address it has; ``*`` is every interface; port 0 lets the kernel
choose. A unix socket gets its mode from the umask (the process's, for the moment of the bind) and
its owner before it listens, so that it is never more open than it was asked to be, and no file is
changed through a path that somebody else could have replaced.

A socket file that is in the way is removed only if nobody listens on it (a server that was killed
leaves one behind). When a listener ends it removes its file, if that is still its own: the
inode can't be used again as long as the socket is open. :meth:`Listener.is_intact` tells whether
clients can still find the socket, so that a reload can make a new one.

Every error is a :class:`ListenError`: one line that names the address and says what to do.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

BACKLOG = 4096
"""Connections that the kernel holds until they are accepted: Linux's own ceiling (somaxconn)."""

PATH_LIMIT = 107
"""Octets of a unix socket's path (unix(7): sun_path has 108 with its NUL)."""

DEFAULT_MODE = 0o660


class ListenError(Exception):
    """An address can't be listened on. One line that says what to do."""


@dataclass(frozen=True, slots=True)
class Inet:
    """A TCP address: a host's name or number without brackets (empty: every interface), a port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Unix:
    """A unix socket: its absolute path, its mode, its owner (a name or a number; empty: ours)."""

    path: str
    mode: int = DEFAULT_MODE
    user: str = ""
    group: str = ""


Endpoint: TypeAlias = Inet | Unix
Address: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


def parse_endpoint(
    text: str, *, mode: int = DEFAULT_MODE, user: str = "", group: str = ""
) -> Endpoint:
    """Read ``inet:HOST:PORT`` or ``unix:/PATH``. Raises ListenError."""
    kind, _, rest = text.partition(":")
    if kind == "unix":
        if not rest.startswith("/") or "\0" in rest:
            raise ListenError(f"{text!r}: a unix socket needs an absolute path, as in unix:/PATH")
        if len(os.fsencode(rest)) > PATH_LIMIT:
            raise ListenError(f"{text}: a unix socket's path has at most {PATH_LIMIT} octets")
        return Unix(rest, mode, user, group)
    host, colon, port = rest.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ListenError(f"{text!r}: an IPv6 address stands in brackets, as in inet:[::1]:10025")
    if kind != "inet" or not colon or not host:
        raise ListenError(f"{text!r}: an address is inet:HOST:PORT or unix:/PATH")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ListenError(f"{text!r}: the port is a number up to 65535")
    return Inet("" if host == "*" else host, int(port))


class Listener:
    """Listening sockets. Clients wait in the kernel until a server takes it (``start``)."""

    def __init__(
        self, sockets: list[socket.socket], path: str = "", *, is_shared: bool = False
    ) -> None:
        """Own ``sockets``; ``path`` is the file of a unix socket that was just bound.

        Where they are shared with other processes, the file isn't ours to remove.
        """
        self.sockets = sockets
        self.path = path
        self.is_shared = is_shared
        self._file = _identity(path) if path else None
        self.addresses = [f"unix:{path}"] if path else [_inet_text(each) for each in sockets]
        """Where clients find it, in the configuration's form, with the port that was chosen."""

    def is_intact(self) -> bool:
        """Tell whether clients find this listener: it is open, and the socket file is its own."""
        is_open = all(each.fileno() >= 0 for each in self.sockets)
        return is_open and (not self.path or _identity(self.path) == self._file)

    def close(self) -> None:
        """Remove the socket's file, if it is still its own, and close. May be called twice."""
        if self.path and not self.is_shared and self.is_intact():
            Path(self.path).unlink(missing_ok=True)
        for each in self.sockets:
            each.close()


async def bind(endpoint: Endpoint) -> Listener:
    """Bind sockets to ``endpoint`` and listen. Raises ListenError."""
    if isinstance(endpoint, Unix):
        return _bind_unix(endpoint)
    import asyncio  # noqa: PLC0415 - half the memory of a process that only reads addresses

    where = f"inet:{endpoint.host or '*'}:{endpoint.port}"
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            endpoint.host or None,
            endpoint.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
    except OSError as error:
        raise ListenError(f"{where}: the host is not known: {error.strerror}") from error
    return Listener(_bind_inet(where, {(each[0], each[4]): None for each in found}))


def _bind_inet(where: str, found: Iterable[tuple[int, Address]]) -> list[socket.socket]:
    """Bind every address; one that this machine doesn't have is left out if another is bound."""
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, address in found:
        try:
            sockets.append(_bind_address(family, address))
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                missing = error
                continue
            for each in sockets:
                each.close()
            raise ListenError(f"{where}: {_advice(error)}") from error
    if not sockets:
        raise ListenError(f"{where}: this machine has no such address") from missing
    return sockets


def _bind_address(family: int, address: Address) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


def _bind_unix(endpoint: Unix) -> Listener:
    where = f"unix:{endpoint.path}"
    user, group = _owner(where, endpoint)
    _remove_stale(where, endpoint.path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound.setblocking(False)
    umask = os.umask(0o777 & ~endpoint.mode)
    try:
        bound.bind(endpoint.path)
    except OSError as error:
        bound.close()
        raise ListenError(f"{where}: {_advice(error)}") from error
    finally:
        os.umask(umask)
    listener = Listener([bound], endpoint.path)
    try:
        if (user, group) != (-1, -1):
            os.chown(endpoint.path, user, group, follow_symlinks=False)
        bound.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ListenError(f"{where}: can't give it its owner: {error.strerror}") from error
    return listener


def _remove_stale(where: str, path: str) -> None:
    """Remove a socket that nobody listens on. Raises ListenError for anything else there."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ListenError(f"{where}: {_advice(error)}") from error
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"{where}: a file that is no socket is there; remove it or use another")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        refused = probe.connect_ex(path)
    if refused == errno.ECONNREFUSED:
        with suppress(FileNotFoundError):
            Path(path).unlink()
    elif refused in (0, errno.EAGAIN, errno.EPROTOTYPE):
        raise ListenError(f"{where}: another process listens there; end it or use another path")
    elif refused != errno.ENOENT:
        raise ListenError(f"{where}: can't tell who listens there: {os.strerror(refused)}")


def _owner(where: str, endpoint: Unix) -> tuple[int, int]:
    """The owner's numbers, -1 for what stays as it is. Raises ListenError."""
    user, group = endpoint.user, endpoint.group
    try:
        uid = int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid if user else -1
        gid = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid if group else -1
    except KeyError as error:
        raise ListenError(f"{where}: {error.args[0]}; make it or name another owner") from error
    return uid, gid


def _advice(error: OSError) -> str:
    """What the kernel said, and what to do about it."""
    match error.errno:
        case errno.EADDRINUSE:
            return "another process listens there; end it or use another"
        case errno.EACCES | errno.EPERM:
            return "we may not; change the folder's rights, or use a port above 1023"
        case errno.ENOENT | errno.ENOTDIR:
            return "its folder is not there; make it"
        case _:
            return error.strerror or type(error).__name__


def _identity(path: str) -> tuple[int, int] | None:
    """Which file is at ``path``: device and inode; None if there is none that we can see."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _inet_text(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"inet:[{host}]:{port}" if bound.family == socket.AF_INET6 else f"inet:{host}:{port}"
