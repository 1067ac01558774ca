"""What a file costs when there are ten thousand of them, and when there are a million."""

import json
import statistics
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Cost, run, sink
from benchmarks.senders import HERE, ours
from benchmarks.throughput import make_folder

FILES = (10_000, 100_000, 1_000_000)
SIZE_BYTES = 100


def runs(place: Path, *, scale: float) -> Iterator[str]:
    """Yield the lines of the table of whole runs: the first one, and one that finds nothing to do."""
    yield f"### Whole runs, files of {SIZE_BYTES} bytes"
    yield ""
    yield "| files | a file of the first run | again, nothing to do | `status` | memory | first byte after |"
    yield "|---|---|---|---|---|---|"
    nothing = run([sys.executable, "-c", "import click, sqlalchemy, requests"])
    yard = 0.0
    for files in (max(100, int(count * scale)) for count in FILES):
        folder = make_folder(place, files, SIZE_BYTES, ".jpg")
        with sink() as target:
            command = ours()(target.url, folder)
            first = run(command)
            again = run(command)
        asked = run([*command[:3], "status", "--ledger", command[-1]])
        a_file = _a_file(first, nothing, files)
        yard = yard or a_file
        assert target.first_upload_at is not None
        yield (
            f"| {files:,} | {a_file / yard:.2f} | {again.wall_s / first.wall_s:.3f} of the first run "
            f"| {asked.wall_s / nothing.wall_s:.1f} start-ups | {first.peak_bytes / 1e6:.0f} MB "
            f"| {(target.first_upload_at - first.began_at) / nothing.wall_s:.1f} start-ups |"
        )
    yield ""
    yield (
        "A file of the first run: processor and waiting time, without the start, of the smallest number = 1. A start-up: "
        "Python with click, SQLAlchemy and requests imported."
    )


def phases(*, scale: float) -> Iterator[str]:
    """Yield the lines of the table of the ledger's work, phase by phase."""
    yield "### The ledger, phase by phase (time a file, of the smallest number = 1)"
    yield ""
    counts = [max(100, int(count * scale)) for count in FILES]
    seen = []
    for files in counts:
        with tempfile.NamedTemporaryFile("r", suffix=".json") as result:
            run([sys.executable, str(HERE / "phases.py"), str(files), result.name])
            seen.append(json.load(result))
    yield "| phase | " + " | ".join(f"{files:,}" for files in counts) + " |"
    yield "|---|" + "---|" * len(counts)
    for phase, yard in seen[0].items():
        yield f"| {phase} | " + " | ".join(f"{result[phase] / yard:.2f}" for result in seen) + " |"


def start(*, rounds: int) -> Iterator[str]:
    """Yield the lines of the table of start-ups: processor time, as the rest depends on what else the machine does."""
    yield "### Start-up"
    yield ""
    yield "| command | times importing click | times importing click and SQLAlchemy |"
    yield "|---|---|---|"
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "source").mkdir()
        (Path(place) / "source" / "a.jpg").write_bytes(b"x")
        with sink() as target:
            command = ours()(target.url, Path(place) / "source")
            run(command)
        python, program, ledger = [sys.executable, "-c"], command[:3], command[-1]
        yards = ([*python, "import click"], [*python, "import click, sqlalchemy"])
        commands: dict[str, tuple[list[str], dict[str, str]]] = {
            "`vl-ingest --help`": ([*program, "--help"], {}),
            "`vl-ingest run --help`": ([*program, "run", "--help"], {}),
            "TAB after `vl-ingest`": (program, _asked_by_bash("vl-ingest ")),
            "TAB after `vl-ingest run --`": (program, _asked_by_bash("vl-ingest run --")),
            "`vl-ingest help`": ([*program, "help"], {}),
            "`vl-ingest help speed`": ([*program, "help", "speed"], {}),
            "`vl-ingest status`": ([*program, "status", "--ledger", ledger], {}),
            "`vl-ingest jobs`": ([*program, "jobs", "--ledger", ledger], {}),
        }
        base: tuple[list[float], list[float]] = ([], [])
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for seen, yard in zip(base, yards, strict=True):
                seen.append(run(yard).cpu_s)
            for name, (arguments, environment) in commands.items():
                times[name].append(run(arguments, environment).cpu_s)
    for name, seen in times.items():
        ratios = (statistics.median(seen) / statistics.median(yard) for yard in base)
        yield f"| {name} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |"


def _asked_by_bash(line: str) -> dict[str, str]:
    """Return the environment in which bash asks for what may follow a line."""
    return {
        "_VL_INGEST_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }


def _a_file(cost: Cost, nothing: Cost, files: int) -> float:
    return max(1e-9, cost.wall_s - nothing.wall_s) / files


OURS = "import sys; from vl_ingest.proof.listing import export_media; print(sum(1 for _ in export_media(sys.argv[1])))"
LOADED = (
    "import json, sys, zipfile; "
    "print(len(json.load(zipfile.ZipFile(sys.argv[1]).open('metadata.json'))['media_items']))"
)


def lists(place: Path, *, scale: float) -> Iterator[str]:
    """Yield the lines of the table of reading an export's list of media, beside `json.load`."""
    count = max(100, int(FILES[-1] * scale))
    export = place / "export.zip"
    write_export(export, count)
    yield f"### A list of {count:,} media, {export.stat().st_size / 1e6:.1f} MB zipped"
    yield ""
    yield "| read by | time, of `json.load` | memory |"
    yield "|---|---|---|"
    loaded = run([sys.executable, "-c", LOADED, str(export)])
    for name, cost in (
        ("`json.load`", loaded),
        ("vl-ingest", run([sys.executable, "-c", OURS, str(export)])),
    ):
        yield f"| {name} | {cost.cpu_s / loaded.cpu_s:.2f} | {cost.peak_bytes / 1e6:.0f} MB |"


def write_export(path: Path, count: int) -> None:
    """Write an export of `count` images, with as much about each as the server tells."""
    item = {
        "media_type": "image", "file_size": "48.96KB", "height": 480, "width": 640, "cluster_id": "c",
        "uniqueness_score": 0.123, "url": "https://media.example.com/" + "x" * 120, "metadata_items": [],
    }  # fmt: skip
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("metadata.json", "w", force_zip64=True) as file,
    ):
        file.write(b'{"info": {"schema_version": "1.1"}, "media_items": [')
        for number in range(count):
            name = f"image_{number:09}.jpg"
            one = {"media_id": f"id{number}", "file_name": name, "file_path": name, **item}
            file.write((b"," if number else b"") + json.dumps(one).encode())
        file.write(b"]}")
