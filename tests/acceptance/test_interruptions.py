"""Real processes that are killed, stopped, doubled; the same command again finishes the job."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from vl_ingest.couriers.processes import MOST_AHEAD
from world import CLEAN, COMMAND, PATIENCE_S, World, call

pytestmark = pytest.mark.usefixtures("processes")

MakeWorld = Callable[..., World]


def _batches(world: World, count: int, process: "subprocess.Popen[str]") -> None:
    """Wait until the server has taken `count` batches."""
    world.until(
        lambda: len(world.box.record.entries("batch_accepted")) >= count, f"{count} batches arrived", process
    )


@pytest.mark.parametrize("batches", [0, 2, 6])
def test_sigkill_and_the_same_command_again(make_world: MakeWorld, batches: int, processes: str) -> None:
    """Killed anywhere: every file delivered, one trigger, only files in flight at the kill sent twice."""
    world = make_world(faults=[f"upload:slow:seconds=60:after={max(0, batches - 2)}"])
    world.pictures(60)
    with world.start() as process:
        _batches(world, batches, process)
        process.kill()
    world.box.clear_faults()
    assert world.run().code == 0
    world.check_promises()
    doubted = [file for file in world.files() if file.unknown_attempts]
    ahead = MOST_AHEAD * int(processes)  # handed over, so that no process has to wait for the next
    assert len(doubted) <= (2 + ahead) * 5, "at most one batch a worker was in flight"


def test_killed_over_and_over(make_world: MakeWorld) -> None:
    """Five deaths in the middle of the upload, and still every file is delivered and processing started once."""
    world = make_world()
    world.pictures(80)
    for _death in range(5):
        before = len(world.box.record.entries("batch_accepted"))
        world.box.add_fault("upload:slow:seconds=60:after=2")
        with world.start() as process:
            _batches(world, before + 3, process)
            process.kill()
        world.box.clear_faults()
    assert world.run().code == 0
    world.check_promises()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_stops_cleanly(make_world: MakeWorld, number: signal.Signals, code: int) -> None:
    """The answers that are on their way are awaited and recorded; nothing is in doubt; the code names the signal."""
    world = make_world(faults=["upload:slow:seconds=0.5"])
    world.pictures(150)
    inherited = signal.signal(number, signal.SIG_DFL)  # under nohup a run would rightly go on
    try:
        with world.start() as process:
            _batches(world, 2, process)
            process.send_signal(number)
            assert process.wait(PATIENCE_S) == code
    finally:
        signal.signal(number, inherited)
    assert not any(file.unknown_attempts for file in world.files())
    assert "run_ended" in world.kinds()
    world.box.clear_faults()
    assert world.run().code == 0
    world.check_promises()


INTERRUPTED_INSIDE_A_PAUSE = """
import os, signal, sys
from vl_ingest.cli.run import signals
from vl_ingest.run.cancel import CancelToken

def trace(frame, _event, _argument):
    inside = frame.f_code.co_name == "wait" and frame.f_locals.get("self") is cancel_token._cancelled._cond
    if inside:
        sys.settrace(None)
        os.kill(os.getpid(), signal.SIGTERM)
    return trace

cancel_token = CancelToken()

class Stopping:
    stop, abandon, requests = cancel_token.cancel, None, 0

with signals(Stopping, []):
    sys.settrace(trace)
    cancel_token.pause(3600)
"""


def test_a_signal_may_come_at_any_instruction() -> None:
    """A signal in the middle of taking up a pause, with its locks held, still ends the pause at once."""
    done = call(sys.executable, "-c", INTERRUPTED_INSIDE_A_PAUSE)
    assert "Interrupted: Stopped by SIGTERM" in done.stderr


def test_a_signal_while_the_server_hangs_abandons_after_the_grace(make_world: MakeWorld) -> None:
    """An answer that does not come is not awaited for ever: unknown on record, out within the promised time."""
    world = make_world(faults=["upload:slow:seconds=60"])
    world.pictures(4)
    with world.start("--workers", "1") as process:
        _batches(world, 1, process)  # before its first byte, a batch is none in doubt
        process.terminate()
        assert process.wait(PATIENCE_S) == 143
    assert set(world.states().values()) == {"unknown"}
    assert "run_ended" in world.kinds()


def test_a_signal_while_the_dataset_is_created_leaves_an_end_on_record(make_world: MakeWorld) -> None:
    """The one request that nobody can take back is not awaited for ever either; its intent stays open."""
    world = make_world(faults=["create:hang"])
    world.pictures(2)
    with world.start() as process:
        world.until(
            lambda: world.states_by_now() and "create_intended" in world.kinds(),
            "the dataset was asked for",
            process,
        )
        process.terminate()
        assert process.wait(PATIENCE_S) == 143
    assert world.kinds()[-1] == "run_ended"
    world.box.clear_faults()
    assert world.run().code == 0
    world.check_promises()


def test_a_second_signal_leaves_at_once(make_world: MakeWorld) -> None:
    """Whoever insists gets out; the next run settles what was open."""
    world = make_world(faults=["upload:slow:seconds=60"])
    world.pictures(4)
    with world.start("--workers", "1") as process:
        _batches(world, 1, process)

        def ended() -> bool:
            process.terminate()  # two that come together are one
            return process.poll() is not None

        world.until(ended, "the process has left")
        assert process.wait() == 143
    assert set(world.states().values()) == {"in_flight"}
    world.box.clear_faults()
    assert world.run().code == 0
    world.check_promises()


def test_second_run_on_a_job_is_told_who_holds_it(make_world: MakeWorld) -> None:
    """While a run lives another one exits 11 at once, however the folder is spelt."""
    world = make_world(faults=["upload:slow:seconds=60"])
    world.pictures(40)
    with world.start() as process:
        _batches(world, 1, process)
        ended = world.run()
        assert ended.code == 11
        assert str(process.pid) in ended.err
        (world.place / "link").symlink_to(world.folder)
        assert world.cli("run", str(world.place / "link"), *world.arguments()[2:]).code == 11
        assert world.cli("waive", "job", "--all").code == 11
        world.box.clear_faults()
        assert process.wait(PATIENCE_S) == 0
    world.check_promises()


def test_two_first_runs_at_once_are_one_job(world: World) -> None:
    """Processes that start together make one job and one dataset; all but one exit 11, or find it done."""
    world.pictures(30)
    processes = [world.start() for _ in range(3)]
    codes = sorted(process.wait(PATIENCE_S) for process in processes)
    for process in processes:
        process.communicate()
    assert codes[0] == 0
    assert set(codes) <= {0, 11}
    assert len(world.box.record.datasets()) == 1
    world.check_promises()


def test_two_jobs_in_one_ledger_run_side_by_side(world: World) -> None:
    """Different jobs do not hinder each other."""
    world.pictures(30)
    processes = [world.start(name=name) for name in ("one", "two")]
    assert [process.wait(PATIENCE_S) for process in processes] == [0, 0]
    for process in processes:
        process.communicate()
    world.check_promises("one")
    world.check_promises("two")


def test_a_closed_terminal_does_not_kill_a_job(make_world: MakeWorld) -> None:
    """Nobody reading standard output and error any more is no reason to stop."""
    world = make_world(faults=["upload:slow:seconds=0.05"])
    world.pictures(30)
    process = world.start()
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    assert process.wait(PATIENCE_S) == 0
    world.check_promises()


def test_a_reader_that_has_enough_is_no_error(world: World) -> None:
    """`vl-ingest files ... | head` ends without a traceback and without a failure."""
    world.pictures(3)
    world.run()
    program = [*COMMAND, "files", "job", "--ledger", str(world.ledger_path)]
    with subprocess.Popen(
        program, env=CLEAN, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, "")


def test_a_list_from_standard_input_is_asked_for_again(world: World) -> None:
    """`resume` does not send what the list left out, nor wait on a terminal for a list."""
    world.pictures(2)
    with world.start("--files-from", "-", stdin=subprocess.PIPE) as process:
        process.communicate("p0000.png\ngone.png\n")
    assert process.returncode == 3
    assert set(world.states()) == {"p0000.png", "gone.png"}
    world.cli("waive", "job", "gone.png")
    ended = world.cli("resume", "job")
    assert ended.code == 2
    assert "--files-from" in ended.err


def test_max_duration_stops_cleanly(make_world: MakeWorld) -> None:
    """--max-duration ends with 10 and nothing in doubt; the same command goes on."""
    world = make_world(faults=["upload:slow:seconds=0.2"])
    world.pictures(60)
    assert world.run("--max-duration", "0.5s").code == 10
    assert not any(file.unknown_attempts for file in world.files())
    world.box.clear_faults()
    assert world.run().code == 0
    world.check_promises()


def test_environment_sets_options(world: World) -> None:
    """Every option is also VL_INGEST_<OPTION>."""
    world.pictures(10)
    environment = {
        "VL_INGEST_NAME": "fromenv",
        "VL_INGEST_BASE_URL": world.box.url,
        "VL_INGEST_LEDGER": str(world.ledger_path),
        "VL_INGEST_BATCH_SIZE": "2",
    }
    done = call(*COMMAND, "run", str(world.folder), environment=environment)
    assert done.returncode == 0, done.stderr
    assert len(world.box.record.requests("upload")) == 5


def test_demo_takes_a_folder(world: World) -> None:
    """With a folder of one's own the demo sends that."""
    world.pictures(30)
    done = call(*COMMAND, "demo", str(world.folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "30" in done.stdout
    assert len(os.listdir(world.folder)) == 30
