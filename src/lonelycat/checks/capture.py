"""Keeps the first and the last part of an endless stream in bounded memory.

Invariant: at most ``limit`` bytes are held, however many are added.
"""

from __future__ import annotations


class HeadAndTail:
    """Collects output; over ``limit`` bytes the middle is dropped and counted."""

    def __init__(self, limit: int) -> None:
        self._head_limit = (limit + 1) // 2
        self._tail_limit = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.dropped = 0
        """How many bytes were dropped so far."""

    def add(self, data: bytes) -> None:
        """Take ``data``; what no longer fits pushes the oldest bytes of the tail out."""
        room = self._head_limit - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        excess = len(self._tail) - self._tail_limit
        if excess > 0:
            self.dropped += excess
            del self._tail[:excess]

    def value(self) -> bytes:
        """Return what was kept, with a line in the gap saying how many bytes are missing."""
        if not self.dropped:
            return bytes(self._head + self._tail)
        return bytes(self._head) + b"\n[... %d bytes dropped ...]\n" % self.dropped + bytes(self._tail)
