"""What is sent together: decisions on values."""

from hypothesis import given
from hypothesis import strategies as st

from vl_ingest.domain.model import Facts, FileRow, FileState
from vl_ingest.upload.plan import TAIL_BYTES, bytes_limit, fits, halves, paced_share, tail_share


@given(st.integers(0, 10**12), st.integers(1, 1000), st.integers(0, 10**12))
def test_the_first_file_always_fits(size: int, batch_size: int, batch_bytes: int) -> None:
    """A file larger than any batch goes alone; it is never left behind."""
    assert fits(0, 0, size, batch_size=batch_size, batch_bytes=batch_bytes)


@given(st.lists(st.integers(1, 100), max_size=60), st.integers(1, 10), st.integers(1, 200))
def test_a_batch_keeps_both_limits(sizes: list[int], batch_size: int, batch_bytes: int) -> None:
    """What is taken one by one never exceeds the number, nor the bytes unless it is a single file."""
    count = total = 0
    for size in sizes:
        if not fits(count, total, size, batch_size=batch_size, batch_bytes=batch_bytes):
            break
        count, total = count + 1, total + size
    assert count <= batch_size
    assert total <= batch_bytes or count == 1


def test_a_refused_size_is_kept_away_from() -> None:
    """Half of what was refused is tried next; without a refusal the setting stands."""
    assert bytes_limit(1000, None) == 1000
    assert bytes_limit(1000, 900) == 450
    assert bytes_limit(100, 900) == 100


@given(st.integers(0, 10**11), st.integers(1, 32))
def test_the_tail_is_shared_and_ends(left_bytes: int, workers: int) -> None:
    """Each takes its share of what is left, so parts shrink to the least that pays, and soon nothing is left."""
    parts = []
    while left_bytes > 0:
        parts.append(min(left_bytes, tail_share(left_bytes, workers)))
        left_bytes -= parts[-1]
    assert parts == sorted(parts, reverse=True)
    assert all(part >= TAIL_BYTES for part in parts[:-1])
    assert len(parts) <= 30 * workers


def test_a_tail_for_one_worker_is_not_cut() -> None:
    """Nobody else would send the other part meanwhile."""
    assert tail_share(10 * TAIL_BYTES, 1) == 10 * TAIL_BYTES


@given(st.floats(1024, 1e9), st.integers(1, 32))
def test_a_request_under_a_limit_of_the_rate_takes_half_a_minute(rate: float, workers: int) -> None:
    """However slow it is to be: all workers' requests together are what goes in that time."""
    share = paced_share(rate, workers)
    assert share >= 1
    assert share * workers / rate <= 30.0 or share == 1
    assert (share + 1) * workers / rate > 30.0


@given(st.integers(2, 60))
def test_halves_are_smaller_and_hold_the_same_files(count: int) -> None:
    """Splitting loses nothing, keeps the order, and ends."""
    files = [FileRow(n, f"{n}", f"{n}", Facts(1, 1), FileState.IN_FLIGHT) for n in range(count)]
    first, second = halves(files)
    assert [*first, *second] == files
    assert 0 < len(first) < count
    assert 0 < len(second) < count
