r"""A message as it comes: where it ends, pieces of it, and why it is refused half-way.

DATA (RFC 5321 4.5.2) ends with ``CRLF.CRLF``, and a line's first dot is taken away; BDAT (RFC 3030)
brings chunks whose length is said, and nothing is taken away::

    > DATA\r\n                          > BDAT 8\r\n
    < 354 ...                           > .hello\r\n            8 octets
    > ..hello\r\n                       < 250 ...
    > .\r\n                             > BDAT 0 LAST\r\n

Both give the same pieces: ``.hello\r\n``. A piece has at most 65,536 octets and doesn't end between
CR and LF. Of a message sent by DATA it ends with a line, unless that line has more than 1,000
octets, RFC 5321's limit (4.5.3.1.6); such lines are in use and are passed on, in several pieces.
What isn't given yet is never more than that, or what was last fed.

A CR or an LF that stands alone ends neither a line nor a message: what one server takes for an end
and another doesn't is how a second message is smuggled (CVE-2023-51764). From the first piece that
has one, or a NUL (RFC 5321 4.5.2, RFC 6152), the message is refused, and only read to its true end.
"""

from __future__ import annotations

from typing import TypeAlias

from check_user.protocols.smtp import replies

PIECE = 65_536
"""Octets of a piece, at most."""

LINE = 1_000
"""Octets of a text line with its CRLF (RFC 5321 4.5.3.1.6)."""

Taken: TypeAlias = tuple[bytes, int]
"""A piece, which may be empty, and where in the data it ended."""


class Dotted:
    """The message of a DATA command."""

    __slots__ = ("_begins_line", "is_last", "is_over")

    def __init__(self) -> None:
        """Begin after the 354."""
        self.is_over = False
        """Nothing more of it comes."""
        self.is_last = True
        """With it the message is whole."""
        self._begins_line = True

    def take(self, data: bytes, start: int) -> Taken | None:
        """Take lines off ``data[start:]``, or a part of a long one; None while there is too little.

        Not once it is over.
        """
        begins_line = self._begins_line
        if begins_line and data.startswith(b".\r\n", start):
            self.is_over = True
            return b"", start + 3
        stop = _stop(data, start)
        if stop is None:
            return None
        piece = data[start:stop]
        self._begins_line = piece.endswith(b"\r\n")
        if b"\r\n." in piece:
            piece = piece.replace(b"\r\n.", b"\r\n")
        if begins_line and piece.startswith(b"."):
            piece = piece[1:]
        return piece, stop


def _stop(data: bytes, start: int) -> int | None:
    """Where a piece of a dotted message ends: before the last dot, or after a line, or within."""
    limit = start + PIECE
    end = data.find(b"\r\n.\r\n", start, limit + len(".\r\n"))
    if end < 0:
        end = data.rfind(b"\r\n", start, limit)
    if end >= 0:
        return end + 2
    if len(data) - start <= LINE:
        return None
    stop = min(limit, len(data))
    return stop - 1 if data[stop - 1] == ord("\r") else stop


class Chunked:
    """The message of BDAT commands: :meth:`begin` one after the other."""

    __slots__ = ("_carried", "_left", "is_last", "is_over")

    def __init__(self) -> None:
        """Begin before the first chunk."""
        self.is_over = True
        """Nothing more of this chunk comes."""
        self.is_last = False
        """With this chunk the message is whole."""
        self._left = 0
        self._carried = b""
        """A CR at the end of a chunk, whose LF may begin the next one."""

    def begin(self, size: int, *, is_last: bool) -> None:
        """A chunk of ``size`` octets follows."""
        self._left = size
        self.is_last = is_last
        self.is_over = False

    def take(self, data: bytes, start: int) -> Taken | None:
        """Take some of the chunk off ``data[start:]``, or its rest; None while there is too little.

        Not once it is over.
        """
        size = min(self._left, PIECE - 1)
        if len(data) - start < min(size, LINE):
            return None
        stop = min(start + size, len(data))
        self._left -= stop - start
        self.is_over = self._left == 0
        piece = self._carried + data[start:stop]
        self._carried = b""
        if piece.endswith(b"\r") and not (self.is_over and self.is_last):
            piece, self._carried = piece[:-1], b"\r"
        return piece, stop


class Message:
    """A message of at most ``limit`` octets. It is over when its ``framing`` is, and that is last.

    With ``failure`` it is refused from the beginning, and only read to its end.
    """

    __slots__ = ("_limit", "failure", "framing", "octets")

    def __init__(self, framing: Dotted | Chunked, limit: int, failure: bytes = b"") -> None:
        """Begin."""
        self.framing = framing
        self.failure = failure
        """The reply at its end if it is refused, else empty."""
        self.octets = 0
        self._limit = limit

    @property
    def is_endless(self) -> bool:
        """Whether so much was read of what is refused that its end isn't waited for."""
        return bool(self.failure) and self.octets > 2 * self._limit

    def begin_chunk(self, size: int, *, is_last: bool) -> None:
        """A chunk of ``size`` octets follows; the message is refused now if it is one too many."""
        if isinstance(self.framing, Chunked):
            self.framing.begin(size, is_last=is_last)
        self._require_room(size)

    def count(self, piece: bytes) -> None:
        """Take a piece into account; the message is refused if that may not be passed on.

        That it is broken is looked for in what is refused, too: the session ends with it.
        """
        self.octets += len(piece)
        self._require_room(0)
        if not is_clean(piece):
            self.failure = replies.BARE_IN_CONTENT

    def _require_room(self, size: int) -> None:
        if self.octets + size > self._limit and not self.failure:
            self.failure = replies.TOO_BIG


def is_clean(piece: bytes) -> bool:
    """Whether every CR has its LF, every LF its CR, and there is no NUL."""
    pairs = piece.count(b"\r\n")
    return piece.count(b"\r") == pairs and piece.count(b"\n") == pairs and b"\0" not in piece
