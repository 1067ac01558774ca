"""The promises that no other file proves: flat cost, secrets that stay out, counts that are the rows."""

import os
import sys
from collections.abc import Callable

import pytest

from vl_ingest.domain.model import FileState
from world import COMMAND, World, call

pytestmark = pytest.mark.usefixtures("processes")

MakeWorld = Callable[..., World]

MIB = 1024 * 1024

# Runs a command and prints the most memory it ever held, in KiB.
MEASURE = (
    "import resource, subprocess, sys\n"
    "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode\n"
    "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
)


def _peak_kib(world: World, *options: str, name: str) -> tuple[int, int]:
    """Return the exit code and the peak memory of a run, a process of its own."""
    command = [*COMMAND, *world.arguments(*options, name=name)]
    done = call(sys.executable, "-c", MEASURE, *command, "--new", "--ledger", str(world.ledger_path))
    code, peak = done.stdout.split()
    return int(code), int(peak)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no getrusage to measure with")
def test_memory_does_not_grow_with_the_size_of_a_file(make_world: MakeWorld) -> None:
    """A file of 400 MiB is sent with hardly more memory than one of 1 MiB."""
    world = make_world(check_images=False)
    film = world.folder / "film.mp4"
    peaks = []
    for name, size in (("small", MIB), ("large", 400 * MIB)):
        film.touch()
        os.truncate(film, size)
        code, peak = _peak_kib(world, name=name)
        assert code == 0
        peaks.append(peak)
        world.check_promises(name)
    assert peaks[1] - peaks[0] < 20 * 1024


@pytest.mark.skipif(sys.platform == "win32", reason="there is no getrusage to measure with")
def test_memory_does_not_grow_with_the_number_of_files(world: World) -> None:
    """Twenty thousand files are taken up with hardly more memory than four hundred."""
    peaks = []
    for name, start, end in (("few", 0, 400), ("many", 400, 20_000)):
        for number in range(start, end):
            (world.folder / f"{number}.jpg").write_bytes(b"x")
        with world.box.offline():
            code, peak = _peak_kib(world, "--give-up-after", "0.1s", name=name)
        assert code == 5
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 20 * 1024


def test_secrets_stay_out(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the secret nor a token stands in the ledger, in what is printed, or in the record of options."""
    secret = "hush" * 10
    world = make_world(credentials=("the-key", secret))
    monkeypatch.setenv("VISUAL_LAYER_API_KEY", "the-key")
    monkeypatch.setenv("VISUAL_LAYER_API_SECRET", secret)
    world.pictures(4)
    world.box.add_fault("upload:401:times=1")
    ended = world.run()
    assert ended.code == 0, ended.err
    assert world.kinds().count("batch_sent") == 1
    said = (
        ended.out + ended.err + world.cli("events", "job", "--json").out + world.cli("status", "--json").out
    )
    for path in world.place.glob("ledger.db*"):
        if path.is_file():
            said += path.read_bytes().decode("latin-1")
    assert secret not in said
    assert "eyJ" not in said, "that is how every token begins"


def test_counts_are_those_of_the_rows(world: World) -> None:
    """What is printed is counted from the ledger, not kept beside it."""
    world.pictures(9)
    (world.folder / "torn.png").write_bytes(b"no picture")
    (world.folder / "empty.png").touch()
    summary = world.run().summary
    rows = world.files()
    for state in FileState:
        assert summary["files"][state] == sum(row.state is state for row in rows)
    assert summary["total_bytes"] == sum(row.facts.size_bytes for row in rows)
    assert summary["unsent"] == 2


def test_nothing_that_was_sent_is_read_again(world: World) -> None:
    """A resumed job opens no file that is sent: it would fail here, because they can't be opened any more."""
    paths = world.pictures(10)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    for path in paths:  # same size and time, but not what was sent
        seen = path.stat()
        path.write_bytes(b"?" * seen.st_size)
        os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    world.cli("waive", "job", "--all")
    assert world.run().code == 0
    assert all(count == 1 for count in world.held().values())
    assert world.job().state == "ready"
