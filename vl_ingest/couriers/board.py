"""What a courier's process has begun, in memory that outlives it: a pair of numbers for each of its connections."""

import mmap
from collections.abc import Iterator

MOST_LINES = 64
BOARD_BYTES = MOST_LINES * 16


class Board:
    """For each line the number of the parcel that has begun last, and the bytes of its files that are out."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, BOARD_BYTES)
        self._cells = memoryview(self._memory).cast("Q")

    def begin(self, line: int, parcel: int) -> None:
        """Note that the first byte of a parcel is about to leave."""
        self._cells[2 * line + 1] = 0
        self._cells[2 * line] = parcel

    def move(self, line: int, bytes_out: int) -> None:
        """Note how much of its files is out."""
        self._cells[2 * line + 1] = bytes_out

    def end(self, line: int) -> None:
        """Note that a parcel is over, once its outcome has been sent."""
        self._cells[2 * line] = 0

    def begun(self) -> Iterator[tuple[int, int, int]]:
        """Yield (line, parcel, bytes out) of what has begun and is not over."""
        for line in range(MOST_LINES):
            if parcel := self._cells[2 * line]:
                yield line, parcel, self._cells[2 * line + 1]

    def close(self) -> None:
        """Give the memory back."""
        self._cells.release()
        self._memory.close()
