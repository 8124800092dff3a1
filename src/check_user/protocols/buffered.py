"""What the codecs of line-like protocols share: a bounded buffer, and how a connection ends.

A codec built on :class:`Buffered` says only how one question is taken off the buffer. The rules
that are the same for all:

- half a question is no question: what has no end yet when the peer ends is never looked up, since
  ``anna@example.or`` may be the beginning of ``anna@example.org``;
- after a ProtocolError nothing of the connection is believed any more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from check_user.protocols import Lookup, Mark, Output, ProtocolError


class Buffered(ABC):
    """The receiving half of a codec. ``_data[_start:]`` is what has come and is not yet taken."""

    __slots__ = ("_data", "_ended", "_start")

    def __init__(self) -> None:
        """Begin a connection."""
        self._data = b""
        self._start = 0
        self._ended = False

    def feed(self, data: bytes) -> None:
        """Take bytes from the peer; ``b""`` means that it will send no more."""
        if self._ended:
            return
        if data:
            self._data = self._data[self._start :] + data
            self._start = 0
        else:
            self._ended = True

    def next_event(self) -> Lookup | Output | Mark:
        """Give the next event. Raises ProtocolError; from then on every event is CLOSE."""
        if self._start < len(self._data):
            try:
                event = self._take()
            except ProtocolError:
                self._forget()
                self._ended = True
                raise
            if event is not None:
                return event
            if self._start < len(self._data) and not self._ended:
                return Mark.NEED_REST
        self._forget()
        return Mark.CLOSE if self._ended else Mark.NEED_DATA

    @abstractmethod
    def _take(self) -> Lookup | Output | None:
        """Take one question off ``_data`` and move ``_start``; None while there is no whole one.

        Called only when there is at least one octet. What needs no answer is passed over. Raises
        ProtocolError.
        """

    def _take_line(self, limit: int) -> bytes | None:
        """Take a line off ``_data``, without its LF; None while it isn't whole.

        Raises ProtocolError for more than ``limit`` octets with the LF.
        """
        start = self._start
        end = self._data.find(b"\n", start, start + limit)
        if end < 0:
            if len(self._data) - start >= limit:
                raise ProtocolError(f"a line of more than {limit} octets")
            return None
        self._start = end + 1
        return self._data[start:end]

    def _forget(self) -> None:
        self._data = b""
        self._start = 0
