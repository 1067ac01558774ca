"""What is sent together: decisions on values."""

from hypothesis import given
from hypothesis import strategies as st

from vl_ingest.domain.model import Facts, FileRow, FileState
from vl_ingest.domain.settings import Settings
from vl_ingest.upload.plan import BatchLimits, halves

MIB = 1024 * 1024


@given(st.integers(0, 10**12), st.integers(1, 1000), st.integers(1, 10**12))
def test_the_first_file_always_goes_in(size: int, batch_size: int, batch_bytes: int) -> None:
    """A file larger than any batch goes alone; it is never left behind."""
    assert BatchLimits(Settings(batch_size=batch_size, batch_bytes=batch_bytes), None).room(1).take(size)


@given(st.lists(st.integers(1, 100), max_size=60), st.integers(1, 10), st.integers(1, 200))
def test_a_batch_keeps_both_limits(sizes: list[int], batch_size: int, batch_bytes: int) -> None:
    """What is taken one by one never exceeds the number, nor the bytes unless it is a single file."""
    room = BatchLimits(Settings(batch_size=batch_size, batch_bytes=batch_bytes), None).room(1)
    taken: list[int] = []
    for size in sizes:
        if not room.take(size):
            assert len(taken) == batch_size or sum(taken) + size > batch_bytes, "there was room for it"
            break
        taken.append(size)
    assert len(taken) <= batch_size
    assert sum(taken) <= batch_bytes or len(taken) == 1


def test_a_refused_size_is_kept_away_from() -> None:
    """Half of the smallest that was refused is tried next; without a refusal the setting stands."""
    limits = BatchLimits(Settings(batch_bytes=1000), None)
    assert limits.room(1).size_bytes == 1000
    for refused, left in ((9000, 1000), (900, 450), (1200, 450)):
        limits.learn_too_large(refused)
        assert limits.room(1).size_bytes == left
    assert BatchLimits(Settings(batch_bytes=1000), 900).room(1).size_bytes == 450
    for settings in (Settings(add_bytes=1000), Settings(add_bytes=450)):
        assert BatchLimits(settings, 900).addition().size_bytes == 450


def test_what_is_known_to_be_too_large_is_not_sent() -> None:
    """A batch of the refused size or above is split first; a single file is always sent, and judged by itself."""
    limits = BatchLimits(Settings(), None)
    assert not limits.is_too_large(10**12, 2)
    limits.learn_too_large(900)
    assert [limits.is_too_large(size, 2) for size in (899, 900, 901)] == [False, True, True]
    assert not limits.is_too_large(10**12, 1)


@given(st.integers(0, 10**11), st.integers(1, 32))
def test_the_tail_is_shared_and_ends(left_bytes: int, workers: int) -> None:
    """Each takes its share of what is left, so parts shrink to the least that pays, and soon nothing is left."""
    limits = BatchLimits(Settings(batch_bytes=10**12), None)
    parts = []
    while left_bytes > 0:
        parts.append(min(left_bytes, limits.room(workers, left_bytes).size_bytes))
        left_bytes -= parts[-1]
    assert parts == sorted(parts, reverse=True)
    assert all(part >= MIB for part in parts[:-1])
    assert len(parts) <= 30 * workers


def test_a_tail_for_one_worker_is_not_cut() -> None:
    """Nobody else would send the other part meanwhile."""
    assert BatchLimits(Settings(), None).room(1, 10 * MIB).size_bytes == 10 * MIB


@given(st.integers(1024, 10**9), st.integers(1, 32))
def test_a_request_under_a_limit_of_the_rate_takes_half_a_minute(rate: int, workers: int) -> None:
    """However slow it is to be: all workers' requests together are what goes in that time."""
    limits = BatchLimits(Settings(batch_bytes=10**12, bwlimit=f"{rate}B"), None)
    share = limits.room(workers).size_bytes
    assert share * workers / rate <= 30.0
    assert (share + 1) * workers / rate > 30.0


@given(st.integers(2, 60))
def test_halves_are_smaller_and_hold_the_same_files(count: int) -> None:
    """Splitting loses nothing, keeps the order, and ends."""
    files = [FileRow(n, f"{n}", f"{n}", Facts(1, 1), FileState.IN_FLIGHT) for n in range(count)]
    first, second = halves(files)
    assert [*first, *second] == files
    assert 0 < len(first) < count
    assert 0 < len(second) < count
