"""While a run works: how fast it may go, and being stopped from elsewhere."""

import json
import subprocess

import pytest

from vl_ingest.upload import steps
from world import CLEAN, COMMAND, PATIENCE_S, World


def sent_s(world: World) -> float:
    """Return the seconds between the first intent and the end of the upload."""
    with world.ledger() as ledger:
        at = {event.kind: event.at for event in reversed(list(ledger.events.history(world.job().id)))}
    return (at["upload_finished"] - at["transaction_opened"]).total_seconds()


def big(world: World, count: int, size_bytes: int) -> None:
    """Write pictures of a size."""
    for path in world.pictures(count):
        with path.open("ab") as file:
            file.truncate(size_bytes)


@pytest.mark.parametrize(
    ("workers", "limit"), [("1", "256K"), ("8", "256K"), ("auto", "00:00,256K 12:00,256K")]
)
def test_no_more_than_the_limit_goes_out(world: World, workers: str, limit: str) -> None:
    """All workers together: 512 KiB at 256 KiB/s take two seconds, less what may be saved up at first."""
    big(world, 8, 64 * 1024)
    assert world.run("--workers", workers, "--batch-size", "2", "--bwlimit", limit).code == 0
    assert sent_s(world) >= 1.5
    world.check_promises()


def test_a_slow_run_sends_small_batches(world: World) -> None:
    """What goes in half a minute, whatever --batch-size says: little is lost with a request, or awaited at the end."""
    big(world, 6, 100 * 1024)
    with world.start("--workers", "1", "--bwlimit", "10K", "--batch-size", "50") as process:
        world.until(lambda: "in_flight" in world.states_by_now(), "a batch is on its way", process)
        process.kill()
    with world.ledger() as ledger:
        (batch,) = ledger.audit.batches(world.job().id)
    assert batch.size_bytes == 3 * 100 * 1024


def test_a_limit_can_be_lifted_on_resuming(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It belongs to the job's settings: kept by `resume`, until that says otherwise; a time limit is one run's."""
    monkeypatch.setattr(steps, "GRACE_S", 0.2)
    big(world, 4, 64 * 1024)
    assert world.run("--bwlimit", "10K", "--max-duration", "1s").code == 10
    assert world.job().settings["bwlimit"] == "10K"
    assert world.cli("resume", "job", "--max-duration", "1s").code == 10
    assert world.job().settings["bwlimit"] == "10K"
    assert world.cli("resume", "job", "--bwlimit", "off", "--settle", "0.3s").code == 0, (
        "the time limit is not"
    )
    world.check_promises()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fast", "Examples: 8M"),
        ("8", "For KiB write 8K"),
        ("08:00", "Examples: 8M"),
        ("25:00,1M", 'Example: "08:00,1M 19:00,off"'),
        ("Xyz-08:00,1M", 'Example: "08:00,1M 19:00,off"'),
        ("08:00,1M evening,off", 'Example: "08:00,1M 19:00,off"'),
    ],
)
def test_what_is_no_limit_is_refused(world: World, text: str, said: str) -> None:
    """With an example of one, before anything is sent."""
    world.pictures(1)
    ended = world.run("--bwlimit", text)
    assert ended.code == 2
    assert said in ended.err


def test_stop_from_elsewhere(world: World) -> None:
    """The run ends cleanly with 143, says who asked, and goes on later; nothing is in doubt."""
    world.pictures(300)
    world.box.add_fault("upload:slow:seconds=0.5")
    with world.start() as process:
        world.until(world.box.record.files, "a batch arrived", process)
        ended = world.cli("stop", "job", "--json")
        out, _err = process.communicate(timeout=PATIENCE_S)
    assert (ended.code, ended.summary["stopped"]) == (0, True)
    assert process.returncode == 143
    assert "with `vl-ingest stop`" in out
    assert "stop_asked" in world.kinds()
    world.box.clear_faults()
    assert world.cli("resume", "job").code == 0
    world.check_promises()


def test_stop_where_nothing_runs(world: World) -> None:
    """It says so, and a later run doesn't take it for meant."""
    world.pictures(1)
    world.box.add_fault("create:403:times=1")
    assert world.run().code == 7
    ended = world.cli("stop", "job")
    assert (ended.code, ended.out.startswith("No run is working on job")) == (0, True)
    assert world.run().code == 0
    assert "stop_asked" not in world.kinds()


def test_cancel_stops_the_run_first(world: World) -> None:
    """The job is cancelled, and its run has ended before."""
    world.pictures(300)
    world.box.add_fault("upload:slow:seconds=0.5")
    with world.start() as process:
        world.until(world.box.record.files, "a batch arrived", process)
        assert world.cli("cancel", "job").code == 0
        assert process.wait(PATIENCE_S) == 143
    assert world.job().state == "cancelled"
    assert world.kinds()[-1] == "job_cancelled"


def test_a_busy_run_may_outlast_the_patience(world: World) -> None:
    """Then `stop` says that it goes on, with the exit code of a held job."""
    world.pictures(2)
    world.box.add_fault("upload:slow:seconds=60")
    with world.start() as process:
        world.until(world.box.record.files, "a batch arrived", process)
        ended = world.cli("stop", "job", "--patience", "0s")
        assert ended.code == 11
        assert "still busy" in ended.err
        world.box.clear_faults()
        process.wait(PATIENCE_S)


def test_status_follows_a_run_to_its_end(world: World) -> None:
    """A line of JSON whenever something has changed; the last one says that the job is over."""
    world.pictures(20)
    world.box.add_fault("upload:slow:seconds=60")
    watch = ["status", "job", "--watch", "--interval", "0.1s", "--json", "--ledger", str(world.ledger_path)]
    with world.start("--workers", "1") as process:
        world.until(world.box.record.files, "a batch arrived", process)
        with subprocess.Popen([*COMMAND, *watch], env=CLEAN, stdout=subprocess.PIPE, text=True) as watching:
            assert watching.stdout is not None
            first = json.loads(watching.stdout.readline())
            world.box.clear_faults()
            rest = [json.loads(line) for line in watching.stdout]
        process.communicate(timeout=PATIENCE_S)
    assert watching.returncode == 0
    assert rest[-1]["state"] == "ready"
    counts = [line["files"]["sent"] for line in (first, *rest)]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 20)
    assert "ended 20" in world.cli("status", "job").out


def test_lines_off_a_terminal(world: World) -> None:
    """`--stats` says how often; 0 says nothing between the beginning and the end."""
    world.pictures(20)
    world.box.add_fault("upload:slow:seconds=0.5")
    arguments = [word for word in world.arguments("--workers", "1") if word != "--json"]
    assert "of 20 files" in world.cli(*arguments, "--stats", "0.5s").err
    ended = world.cli(*arguments, "--new", "--stats", "0")
    assert (ended.code, "of 20 files" in ended.err) == (0, False)


def test_a_stall_is_told_once_and_so_is_its_end(world: World) -> None:
    """Nothing moves while the server is silent; it is on record too."""
    world.pictures(5)
    world.box.add_fault("upload:slow:seconds=4")
    ended = world.run("--stall-after", "1.5s", "--log-file", str(world.place / "log"))
    told = [line["notice"] for line in ended.lines if "notice" in line]
    assert sum(text.startswith("No data has moved for") for text in told) == 1
    assert world.kinds().count("stalled") == world.kinds().count("stall_over") == 1
    assert ended.code == 0
    world.box.clear_faults()
    world.box.add_fault("upload:slow:seconds=1.5")
    quiet = world.run("--stall-after", "0", "--new", name="quiet")
    assert not any("No byte" in line.get("notice", "") for line in quiet.lines)
