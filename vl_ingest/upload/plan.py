"""Pure decisions on what is sent together."""

from collections.abc import Sequence

from vl_ingest.domain.model import FileRow

TAIL_BYTES = 1024 * 1024
PACED_S = 30.0


def fits(count: int, size_bytes: int, file_bytes: int, *, batch_size: int, batch_bytes: int) -> bool:
    """Say whether a file joins a batch of `count` files and `size_bytes`; the first one always does."""
    return count == 0 or (count < batch_size and size_bytes + file_bytes <= batch_bytes)


def bytes_limit(batch_bytes: int, too_large_bytes: int | None) -> int:
    """Return the most bytes to send together.

    Once the server has refused a body for its size, half of that is safe to try; coming close to the
    refused size again would cost a refused upload each time.
    """
    return batch_bytes if too_large_bytes is None else min(batch_bytes, too_large_bytes // 2)


def tail_share(left_bytes: int, workers: int) -> int:
    """Return the most bytes to send together when `left_bytes` are all that is left to send.

    A part of what is left for each worker, smaller and smaller parts as it goes, so that all end together;
    but none so small that the request costs more than its bytes.
    """
    return max(TAIL_BYTES, -(-left_bytes // workers))


def paced_share(rate: float, workers: int) -> int:
    """Return the most bytes to send together where all workers together may send `rate` bytes a second.

    So much that a request takes about half a minute: what is lost with one, and what the end of a run has to wait
    for, does not grow with the slowness that somebody has asked for.
    """
    return max(1, int(rate * PACED_S / workers))


def halves(files: Sequence[FileRow]) -> list[Sequence[FileRow]]:
    """Cut a batch of two files or more in two."""
    middle = len(files) // 2
    return [files[:middle], files[middle:]]
