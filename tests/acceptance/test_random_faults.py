"""Random jobs, faults, crashes and decisions against the server: no sequence breaks a promise."""

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import pytest
import requests
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from forker import ANY, Forker
from soak import FAULTS, soak
from vl_ingest.domain.model import SETTLED
from vl_ingest.proof.verify import verify_record
from vl_ingest.sandbox import Sandbox
from world import CLEAN, World

MANY = int(os.environ.get("RANDOM_FAULTS", "8"))  # examples; more by hand


@pytest.fixture(scope="module", autouse=True)
def _forker() -> Iterator[None]:
    """Start the process that forks, and end it."""
    with Forker(CLEAN) as Job.forker:
        yield


class Job(RuleBasedStateMachine):
    """One folder, one server, and whatever may happen to both."""

    processes = "0"
    forker: ClassVar[Forker]

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.box = Sandbox(root=Path(self.place.name, "server"))
        self.box.start_listening()
        self.world = World(Path(self.place.name), self.box)
        self.world.processes = self.processes
        self.count = 0

    @initialize(count=st.integers(1, 12))
    def some_files(self, count: int) -> None:
        """Begin with a few files."""
        self.more_files(count)

    @rule(count=st.integers(1, 6))
    def more_files(self, count: int) -> None:
        """Add files."""
        for _ in range(count):
            self.count += 1
            self.world.picture(f"{'abc'[self.count % 3]}/p{self.count // 2}.png", self.count)

    @rule()
    def a_broken_file(self) -> None:
        """Add one that the server refuses."""
        self.count += 1
        (self.world.folder / f"torn{self.count}.png").write_bytes(b"no picture %d" % self.count)

    @rule(which=st.integers(1, 12))
    def a_file_changes(self, which: int) -> None:
        """Write another picture in a file's place."""
        self.count += 1
        self.world.picture(f"{'abc'[which % 3]}/p{which // 2}.png", self.count + 1000)

    @rule(which=st.integers(1, 12))
    def a_file_vanishes(self, which: int) -> None:
        """Remove a file, if it is there."""
        (self.world.folder / f"{'abc'[which % 3]}/p{which // 2}.png").unlink(missing_ok=True)

    @rule(fault=st.sampled_from(FAULTS), times=st.integers(1, 3), after=st.integers(0, 3))
    def the_server_misbehaves(self, fault: str, times: int, after: int) -> None:
        """Let the next requests meet a fault."""
        self.box.add_fault(f"{fault}:times={times}:after={after}")

    @rule()
    def a_run(self) -> None:
        """Run the command to its end."""
        self._run(None)

    @rule(point=st.integers(1, 120))
    def a_run_that_dies(self, point: int) -> None:
        """Run the command, and let it die at a point between two effects."""
        self._run(point)

    @precondition(lambda self: self._has_job())
    @rule()
    def somebody_decides(self) -> None:
        """Decide what waits for a decision."""
        self.world.cli("waive", "job", "--all")
        self.world.cli("settle", "job", "--not-delivered")

    @precondition(lambda self: self._has_job())
    @rule()
    def somebody_retries(self) -> None:
        """Have everything tried again."""
        self.world.cli("retry", "job")

    @invariant()
    def every_promise_holds(self) -> None:
        """Nothing is said to be there that is not, nothing is there twice unsaid, processing began once at most."""
        if not self._has_job():
            return
        self.world.check_promises(done=False)
        if self.box.record.triggers_accepted(self.world.job().dataset_id or "none"):
            assert all(file.state in SETTLED for file in self.world.files()), "processed too early"
        with self.world.ledger() as ledger:
            differing = [check for check in verify_record(ledger, self.world.job().id) if check.held is False]
        assert not differing, "an honest record is called false"

    def teardown(self) -> None:
        """Let the server behave, and finish the job as a user would."""
        try:
            self.box.clear_faults()
            self.world.picture("last.png", 31)
            for _ in range(6):
                code = self._run(None)
                if code == 0:
                    break
                self.somebody_decides()
            assert code == 0, Path(self.place.name, "log.out").read_text()[-3000:]
            self.world.check_promises()
        finally:
            self.box.close()
            self.place.cleanup()

    def arguments(self) -> list[str]:
        """Return what `run` is called with."""
        return self.world.arguments("--settle", "0.1s", "--give-up-after", "5s", "--batch-size", "4")

    def _run(self, point: int | None) -> int:
        return self.world.carry_out(self.forker, self.arguments(), None if point is None else [ANY, point])

    def _has_job(self) -> bool:
        if not self.world.ledger_path.exists():
            return False
        with self.world.ledger() as ledger:
            return bool(ledger.jobs.all())


class JobWithProcesses(Job):
    """The same, with processes that send."""

    processes = "2"


ADDING = (
    "add:503", "add:503:done=yes", "add:reset-before", "add:reset-inside", "add:reset-after", "add:lost-answer",
    "add:cut-answer", "add:html", "add:429:retry-after=0", "add:409", "add:elsewhere:seconds=0.1", "status:503",
    "add:late:seconds=0.05", "add:late:seconds=0.4", "add:late:seconds=1.5", "add:202", "tasks:500", "export:500", "reindex:503", "reindexing:failed", "any:reset-before",
)  # fmt: skip


class Growing(Job):
    """A dataset that is ready, a folder that grows, and whatever may happen to both."""

    @initialize(count=st.integers(1, 6))
    def some_files(self, count: int) -> None:
        """Begin with a dataset that is ready."""
        self.more_files(count)
        assert self._run(None) == 0

    @rule(fault=st.sampled_from(ADDING), times=st.integers(1, 3), after=st.integers(0, 2))
    def the_server_misbehaves(self, fault: str, times: int, after: int) -> None:
        """Let the next requests meet a fault."""
        self.box.add_fault(f"{fault}:times={times}:after={after}")

    @rule(count=st.integers(1, 4), copies=st.booleans())
    def somebody_adds(self, count: int, copies: bool) -> None:
        """Let somebody else add media under our user, perhaps of names that we shall use, too."""
        names = [
            f"p{self.count // 2 + n}.png" if copies else f"theirs{self.count}-{n}.png" for n in range(count)
        ]
        picture = (self.world.picture("../theirs.png", 7777)).read_bytes()
        parts = [("auto_reindex", (None, "true")), *(("files", (name, picture)) for name in names)]
        dataset = self.world.job().dataset_id
        with suppress(requests.RequestException):
            url = f"{self.box.url}/api/v1/dataset/{dataset}/add_media"
            requests.post(url, files=parts, timeout=10)  # type: ignore[arg-type]  # a list of parts

    @rule()
    def somebody_decides(self) -> None:
        """Decide what waits for a decision: of an addition, what is so, once nothing is on its way any more."""
        self.world.cli("waive", "job", "--all")
        job = self.world.job()
        if job.state in ("adding", "processing"):
            self._wait_for_what_is_late()
            self.world.settle_addition()

    @invariant()
    def every_promise_holds(self) -> None:
        """As of an upload; and what was added more than once is in doubt, whatever its state is now."""
        if not self._has_job():
            return
        self.world.check_promises(done=False)
        theirs = (
            hashlib.sha256((self.world.folder / "../theirs.png").read_bytes()).hexdigest()
            if (self.world.folder / "../theirs.png").exists()
            else ""
        )
        times = Counter(
            name
            for (name, _, sha256), count in self.world.held().items()
            for _ in range(count)
            if sha256 != theirs
        )
        for file in self.world.files():
            assert times[file.sent_as] < 2 or file.unknown_attempts, (
                f"{file.path} is there twice, and in no doubt"
            )

    def _wait_for_what_is_late(self) -> None:
        self.world.until(lambda: not self.box._app.late, "nothing is on its way")

    def teardown(self) -> None:
        """Let what is late arrive, and finish the job."""
        self._wait_for_what_is_late()
        super().teardown()

    def arguments(self) -> list[str]:
        """Return what `run` is called with."""
        return [*super().arguments(), "--add", "--add-files", "3"]


HOW = settings(
    max_examples=MANY, stateful_step_count=8, deadline=None, derandomize=MANY == 8, print_blob=True
)
Job.TestCase.settings = JobWithProcesses.TestCase.settings = Growing.TestCase.settings = HOW
TestRandomFaults = pytest.mark.timeout(3600)(Job.TestCase)
TestGrowing = pytest.mark.timeout(3600)(Growing.TestCase)
TestRandomFaultsWithProcesses = pytest.mark.timeout(3600)(JobWithProcesses.TestCase)


@pytest.mark.usefixtures("processes")
def test_a_short_soak_breaks_no_promise() -> None:
    """Real processes under kills, signals, outages and faults, for a quarter of a minute."""
    tally = soak(0.2, seed=1)
    assert tally["jobs"]
    assert tally["broken promises"] == 0
    assert tally["triggers accepted"] == tally["jobs"]
