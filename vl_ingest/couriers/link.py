"""Messages between this process and a courier's: marshalled values behind their length, over a socket pair."""

import marshal
import os
import struct
import threading
from typing import Any

_LENGTH = struct.Struct("<I")


def packed(message: Any) -> bytes:
    """Return a message as it travels."""
    content = marshal.dumps(message)
    return _LENGTH.pack(len(content)) + content


class Inbox:
    """Puts messages together from the pieces in which they arrive."""

    def __init__(self) -> None:
        self._held = bytearray()

    def take(self, piece: bytes) -> list[Any]:
        """Return the messages that are whole now."""
        held, messages = self._held, []
        held += piece
        at = 0
        while len(held) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(held, at)
            end = at + _LENGTH.size + length
            if len(held) < end:
                break
            messages.append(marshal.loads(bytes(held[at + _LENGTH.size : end])))  # noqa: S302  # from our own child or parent
            at = end
        del held[:at]
        return messages


class Link:
    """A courier's end, for several threads; reading and writing wait."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._inbox = Inbox()
        self._lock = threading.Lock()

    def take(self) -> list[Any]:
        """Return what has come, waiting for it; nothing: the other side is gone."""
        while True:
            piece = os.read(self._descriptor, 1 << 20)
            if not piece:
                return []
            messages = self._inbox.take(piece)
            if messages:
                return messages

    def put(self, message: Any) -> None:
        """Send a message."""
        left = memoryview(packed(message))
        with self._lock:
            while left:
                left = left[os.write(self._descriptor, left) :]
