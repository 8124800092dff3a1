"""Somebody else where check_user should listen: it answers what a test tells it to.

    with Stranger(path, lambda: lambda data: b"220 hello\\r\\n"): ...

For each connection ``new`` makes a function that is given what has come and gives what is sent
back. ``once``: after that the connection is closed.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

Respond = Callable[[bytes], bytes]


class Stranger:
    """Listens on a unix socket that everybody may connect to, or on a port of 127.0.0.1.

    Leaving waits until the clients have gone: end the server that asks before.
    """

    def __init__(self, where: Path | int, new: Callable[[], Respond], *, once: bool) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                respond = new()
                while data := self.request.recv(65536):
                    self.request.sendall(respond(data))
                    if once:
                        break

        self._where = where
        self._server: socketserver.BaseServer
        if isinstance(where, Path):
            self._server = socketserver.ThreadingUnixStreamServer(str(where), Handler)
            where.chmod(0o666)
        else:
            socketserver.ThreadingTCPServer.allow_reuse_address = True
            self._server = socketserver.ThreadingTCPServer(("127.0.0.1", where), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Stranger:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if isinstance(self._where, Path):
            self._where.unlink()
