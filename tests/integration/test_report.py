"""The report tells what the ledger holds: as a table, as a value with a schema, as text, and as a page."""

import contextlib
import csv
import io
import json
import re
import sqlite3
from pathlib import Path

import jsonschema
import pytest

import vl_ingest.report
from vl_ingest.ledger.author import author
from vl_ingest.report import table
from vl_ingest.report.table import COLUMNS, FIRST_COLUMNS, unquoted
from world import World

SCHEMA = json.loads((Path(vl_ingest.report.__file__).parent / "schema.json").read_text(encoding="utf-8"))
EVIL = "z<img src=x onerror=alert(1)>.jpg"  # the last one: not in flight when the run is killed


@pytest.fixture
def lived(world: World) -> World:
    """Return a world whose job was killed, met an outage and a poison file, and ended with a waiver."""
    world.pictures(40)
    (world.folder / EVIL).write_bytes(b"no picture")
    world.box.add_fault("upload:slow:seconds=60:after=2")
    with world.start() as process:
        world.until(
            lambda: len(world.box.record.entries("batch_accepted")) > 2, "three batches arrived", process
        )
        process.kill()
    world.box.clear_faults()
    world.box.add_fault("upload:503:times=3")
    assert world.run().code == 3
    assert world.cli("waive", "job", "--all").code == 0
    assert world.run().code == 0
    return world


def test_the_table_is_the_ledger(lived: World) -> None:
    """A row a file with the documented columns, those of the receipt for what was sent."""
    rows = list(csv.DictReader(io.StringIO(lived.cli("report", "job", "--format", "csv").out)))
    assert list(rows[0]) == list(COLUMNS)
    with lived.ledger() as ledger:
        made = table.rows(ledger, lived.job().id)
        assert {tuple(row) for row in made} == {COLUMNS}, "no cell is left out, or in another order"
    known = {file.path: file for file in lived.files()}
    assert {row["path"] for row in rows} == set(known)
    for row in rows:
        file = known[row["path"]]
        assert (row["state"], int(row["size_bytes"]), row["sent_as"]) == (
            file.state,
            file.facts.size_bytes,
            file.sent_as,
        )
        assert row["sha256"] == (file.sha256 or "")
        assert row["possibly_twice"] == ("yes" if file.state == "sent" and file.unknown_attempts else "no")
        assert (row["http_status"], bool(row["sent_at"])) == (
            ("202", True) if file.state == "sent" else ("", False)
        )
        assert int(row["attempts"]) >= 1
    assert [row["reason"][:8] for row in rows if row["state"] == "waived"] == ["HTTP 400"]


def test_the_value_follows_its_schema_and_tells_the_story(lived: World) -> None:
    """Crash, outage, poison file and waiver are in it, and the totals are those of the summary."""
    facts = json.loads(lived.cli("report", "job", "--format", "json").out)
    jsonschema.Draft202012Validator(SCHEMA).validate(facts)
    job = lived.job()
    assert facts["verdict"].startswith("Complete: 40 files acknowledged by the server, ")
    assert f"1 file waived by {author()}" in facts["verdict"]
    assert facts["chain"] == {"events": job.event_count, "head": job.event_head}
    assert facts["totals"]["by_state"] == {"sent": 40, "waived": 1}
    assert [run["died"] for run in facts["runs"]] == [True, False, False]
    assert sum(facts["throughput"]["sent_bytes"]) == facts["totals"]["sent_bytes"]
    assert sum(facts["throughput"]["failed_attempts"]) >= 3
    story = " ".join(moment["text"] for moment in facts["timeline"])
    for part in ("had died", "503", "was rejected", "was waived by", "Processing was started"):
        assert part in story, part
    (waived,) = [row["reason"] for row in facts["exceptions"] if row["state"] == "waived"]
    assert waived.startswith("HTTP 400")
    assert "waived by" in waived


def test_a_report_of_each_state_follows_the_schema(world: World) -> None:
    """Before anything is sent, while files are held, and after a cancellation."""
    validator = jsonschema.Draft202012Validator(SCHEMA)
    world.pictures(2)
    world.box.add_fault("create:403")
    assert world.run().code == 7
    (facts,) = world.cli("report", "job", "--json").lines
    validator.validate(facts)
    assert world.cli("report", "job", "--format", "html").code == 0
    world.box.clear_faults()
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    assert (
        "Not finished: 2 files acknowledged by the server, 1 file not yet" in world.cli("report", "job").out
    )
    assert world.cli("cancel", "job").code == 0
    facts = json.loads(world.cli("report", "job", "--json").out)
    validator.validate(facts)
    assert facts["verdict"].startswith("Given up")


@pytest.mark.parametrize("endpoint", ["create", "open", "trigger"])
@pytest.mark.parametrize(
    ("fault", "words"), [("403", "HTTP 403: The sandbox was told to answer 403"), ("429", "429")]
)
def test_a_refusal_is_told_in_the_servers_words(world: World, endpoint: str, fault: str, words: str) -> None:
    """Whatever the server would not do, the report says why, and the record agrees with the rows."""
    world.pictures(1)
    world.box.add_fault(f"{endpoint}:{fault}:times=1{':retry-after=0' * (fault == '429')}")
    assert world.run().code == (7 if fault == "403" else 0)
    story = json.loads(world.cli("report", "job", "--json").out)["timeline"]
    kinds = {"create": "create_failed", "open": "open_failed", "trigger": "trigger_refused"}
    kind = kinds[endpoint] if (fault, endpoint) != ("429", "trigger") else "trigger_not_delivered"
    (told,) = [moment["text"] for moment in story if moment["kind"] == kind]
    assert words in told
    assert world.cli("verify", "job", "--offline").code == 0


def test_the_text_fits_one_screen(lived: World) -> None:
    """At most 40 lines, the verdict first, the head of the chain among them."""
    lines = lived.cli("report", "job").out.splitlines()
    assert lines[0].startswith("Complete: 40 files acknowledged by the server")
    assert any(str(lived.job().event_head) in line for line in lines)
    assert len(lines) <= 40


def test_the_picture_shows_when_nothing_could_be_sent(lived: World) -> None:
    """An outage, however short, and the time between two runs lie behind the bars; what is outside is not drawn."""
    from vl_ingest.report.page import chart

    facts = json.loads(lived.cli("report", "job", "--format", "json").out)
    begin = facts["runs"][1]["started_at"]
    drawn = chart({**facts, "outages": [{"begin": begin, "end": begin}]})
    assert drawn.count('class="away"') == 1
    assert 'class="idle"' in drawn, "between the run that was killed and the next one"
    before = "2020-01-01T00:00:00.000000Z"
    assert 'class="away"' not in chart({**facts, "outages": [{"begin": before, "end": before}]})


def test_the_page_asks_nobody_and_escapes_everything(lived: World) -> None:
    """No address but the texts shown, no name that becomes markup."""
    page = lived.cli("report", "job", "--format", "html").out
    assert EVIL not in page
    assert "<img" not in page
    assert page.count("<script") == page.count("</script>") == 2
    for loading in ('src="http', 'href="http', "@import", "url(http"):
        assert loading not in page


def test_the_name_of_the_output_decides_and_a_file_is_whole(lived: World) -> None:
    """The suffix chooses the format; a folder that is not there is a usage error and leaves nothing."""
    for name, begins in (
        ("r.csv", "path,"),
        ("r.json", "{"),
        ("r.html", "<!doctype html>"),
        ("r.txt", "Complete"),
    ):
        target = lived.place / name
        assert lived.cli("report", "job", "--output", str(target)).code == 0
        assert target.read_text(encoding="utf-8").startswith(begins)
    ended = lived.cli("report", "job", "--output", str(lived.place / "nowhere" / "r.csv"))
    assert ended.code == 2
    assert "Can't write" in ended.err
    assert [path.name for path in lived.place.iterdir() if path.name.startswith(".r")] == []


@pytest.fixture
def reported(lived: World) -> World:
    """Return that world with its report in three forms."""
    for name in ("r.csv", "r.json", "r.html"):
        assert lived.cli("report", "job", "--output", str(lived.place / name)).code == 0
    return lived


def against(world: World, report: Path) -> tuple[int, str]:
    """Return exit code and answer of the check of a report."""
    ended = world.cli("verify", "job", "--offline", "--no-files", "--report", str(report))
    return ended.code, next((line for line in ended.out.splitlines() if " report " in line), ended.err)


@pytest.mark.parametrize("name", ["r.csv", "r.json", "r.html"])
def test_a_report_is_held_against_the_ledger(reported: World, name: str) -> None:
    """It holds as it was written; one changed size, in whatever form, is found."""
    report = reported.place / name
    assert against(reported, report)[0] == 0
    text = report.read_text(encoding="utf-8")
    row = next(csv.DictReader(io.StringIO((reported.place / "r.csv").read_text(encoding="utf-8"))))
    size = row["size_bytes"] if name != "r.json" else str(json.loads(text)["totals"]["sent_bytes"])
    report.write_text(text.replace(size, str(int(size) + 1), 1), encoding="utf-8")
    code, answer = against(reported, report)
    assert (code, "DIFFERS" in answer) == (3, True), answer


def test_a_line_added_to_a_page_is_found(reported: World) -> None:
    """Behind its end, too."""
    report = reported.place / "r.html"
    report.write_text(report.read_text(encoding="utf-8") + "\n<p>And one more.</p>\n", encoding="utf-8")
    assert against(reported, report)[0] == 3


@pytest.mark.parametrize("name", ["r.json", "r.html"])
def test_a_report_of_another_record_is_found(reported: World, name: str) -> None:
    """Its head is in the ledger's chain, or it is of something else."""
    report = reported.place / name
    head = str(reported.job().event_head)
    report.write_text(report.read_text(encoding="utf-8").replace(head, "0" * 64), encoding="utf-8")
    code, answer = against(reported, report)
    assert code == 3
    assert "is the hash of no event" in answer


def test_rows_of_a_table_can_be_neither_moved_nor_added(reported: World) -> None:
    """Two rows exchanged, a row of another file, a row less: each is named."""
    report = reported.place / "r.csv"
    lines = report.read_text(encoding="utf-8").splitlines(keepends=True)
    for made, said, code in (
        ([lines[0], lines[2], lines[1], *lines[3:]], "is out of its order", 3),
        ([lines[0], "a" + lines[1], *lines[1:]], "is not a file of this job", 3),
        (lines[:-1], "1 are not in it", 0),
        ([*lines[:3], lines[3].replace(",sent,", ",pending,"), *lines[4:]], "does not say so", 3),
        ([*lines[:3], *lines[4:]], "does not say so", 3),
        ([*lines[:3], lines[3].split(",")[0] + "\n", *lines[4:]], "does not say so", 3),
        (
            [*lines[:3], lines[3].replace(",sent,", ",waived,"), *lines[4:]],
            "state is waived, and sent on record",
            3,
        ),
    ):
        report.write_text("".join(made), encoding="utf-8")
        assert against(reported, report)[0] == code
        assert said in against(reported, report)[1]


def test_an_older_report_is_told_from_a_false_one(world: World) -> None:
    """Made before the files were mended and sent: its head is in the chain."""
    world.pictures(2)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    report = world.place / "r.json"
    assert world.cli("report", "job", "--output", str(report)).code == 0
    assert world.cli("waive", "job", "--all").code == 0
    assert world.run().code == 0
    code, answer = against(world, report)
    assert code == 0
    assert "unknown" in answer
    assert "Its head is in the chain" in answer
    report.write_text("something else", encoding="utf-8")
    assert against(world, report)[0] == 2


FORMULAS = ("=1+1.png", "+1.png", "-1.png", "@SUM(A1).png", "\tTab.png", "'quoted.png", "''twice.png")


def test_no_cell_is_a_formula_and_each_can_be_read_back(world: World) -> None:
    """A quote stands before a cell that a spreadsheet would carry out; taking it away gives the path."""
    for number, name in enumerate(FORMULAS):
        world.picture(name, number)
    assert world.run().code == 0
    report = world.place / "r.csv"
    assert world.cli("report", "job", "--output", str(report)).code == 0
    rows = list(csv.reader(io.StringIO(report.read_text(encoding="utf-8"), newline="")))
    cells = [cell for row in rows for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert {unquoted(row[0]) for row in rows[1:]} == set(FORMULAS)
    assert against(world, report)[0] == 0
    with report.open("w", encoding="utf-8", newline="") as out:  # as an earlier version wrote it
        csv.writer(out, lineterminator="\n").writerows(
            [unquoted(cell) if number else cell for cell in row[: len(FIRST_COLUMNS)]]
            for number, row in enumerate(rows)
        )
    code, answer = against(world, report)
    assert (code, "Its 7 rows are those of the ledger" in answer) == (0, True), answer
    report.write_text(report.read_text(encoding="utf-8").replace("+1.png", "'+1.png"), encoding="utf-8")
    assert against(world, report)[0] == 3


def test_an_outage_while_processing_is_watched_is_on_record_once(world: World) -> None:
    """A begin and an end, however often the status was asked for meanwhile; the story tells it as one moment."""
    world.pictures(3)
    assert world.run("--no-wait").code == 0
    world.box.add_fault("status:503:times=4")
    ended = world.cli("resume", "job", "--wait", "--json")
    assert ended.code == 0, ended.err
    kinds = world.kinds()
    assert (kinds.count("outage_began"), kinds.count("outage_over")) == (1, 1)
    facts = json.loads(world.cli("report", "job", "--json").out)
    jsonschema.Draft202012Validator(SCHEMA).validate(facts)
    (outage,) = facts["outages"]
    assert (outage["doing"], outage["failed_attempts"], outage["answered"]) == (
        "read the dataset's status",
        4,
        True,
    )
    (moment,) = [moment for moment in facts["timeline"] if moment["kind"] == "outage"]
    assert "4 attempts to read the dataset's status failed" in moment["text"]
    assert facts["timing"]["waited_s"] > 0
    assert ended.summary["run_timing"]["waited_s"] > 0


def test_an_outage_that_outlasts_a_run_ends_with_it(world: World) -> None:
    """The server was away when the run began to watch, and when it gave up."""
    world.pictures(3)
    assert world.run("--no-wait").code == 0
    world.box.add_fault("status:503")
    assert world.cli("resume", "job", "--wait", "--max-duration", "4s").code == 10
    assert world.kinds().count("outage_began") == 1
    (outage,) = json.loads(world.cli("report", "job", "--json").out)["outages"]
    assert not outage["answered"]
    assert world.cli("verify", "job", "--offline").code == 0


def test_how_long_it_took_is_told_at_the_end_and_in_each_report(world: World) -> None:
    """The run says it for itself, the report for the job: at work, waiting for what the server asked, and how fast."""
    world.pictures(3)
    world.box.add_fault("upload:429:times=1:retry-after=1")
    ended = world.run()
    assert ended.code == 0, ended.err
    assert ended.summary["run_timing"]["waited_s"] > 0.9
    facts = json.loads(world.cli("report", "job", "--json").out)
    timing = facts["timing"]
    assert 0.9 < timing["waited_s"] < timing["worked_s"] <= timing["elapsed_s"]
    rate = facts["totals"]["acknowledged_bytes"] / timing["sending_s"]
    assert timing["bytes_per_s"] == pytest.approx(rate, rel=0.01)
    text = world.cli("report", "job").out
    assert "of it waiting for the server" in text
    assert "on average, waiting included" in text
    page = world.cli("report", "job", "--format", "html").out
    assert "of it waiting for the server" in page


def test_the_end_of_a_run_says_how_long_it_took(world: World) -> None:
    """One line for people, and the same for programs."""
    world.pictures(4)
    ended = world.cli(*[word for word in world.arguments() if word != "--json"])
    assert re.search(
        r"This run took .* s, none of it waiting for the server; .*/s on average, waiting included", ended.err
    )


def test_changed_options_are_named(world: World) -> None:
    """As they are written on the command line."""
    world.pictures(1)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    assert world.run("--batch-size", "7", "--no-recursive", "--batch-bytes", "8M", "--settle", "2s").code == 3
    story = " ".join(
        moment["text"] for moment in json.loads(world.cli("report", "job", "--json").out)["timeline"]
    )
    assert "Options changed: --batch-size 7, --batch-bytes 8MiB, --no-recursive, --settle 2s." in story


def test_run_numbers_count_within_their_job(world: World) -> None:
    """The first run of the second job is its run 1, in the text of events, report and page; JSON keeps its id, too."""
    world.pictures(1)
    assert world.run(name="first").code == 0
    assert world.run(name="job").code == 0
    (run,) = json.loads(world.cli("report", "job", "--json").out)["runs"]
    assert (run["id"], run["number"]) == (2, 1)
    (started,) = world.cli("events", "job", "--kind", "run_started", "--json").lines
    assert (started["run"], started["run_number"]) == (2, 1)
    said = "".join(world.cli(command, "job").out for command in ("events", "report", "status"))
    assert "last run      1, pid" in said
    assert not re.search(r"\brun 2\b", said, re.IGNORECASE)
    assert "Run 1 ended" in said


def test_people_are_shown_no_values_of_python(world: World) -> None:
    """Neither in the history nor in the checks of a record that holds, nor of one that does not."""
    statements = (
        "UPDATE files SET reason = NULL WHERE state = 'waived'",
        "UPDATE files SET state = 'waived' WHERE path = 'p0003.png'",
        "UPDATE jobs SET left_out = '{\"hidden\": 2}', finished_at = NULL",
    )
    world.pictures(4)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    assert "batch_split" in world.kinds(), "its fact is a list"
    assert world.cli("waive", "job", "--all").code == 0
    assert world.run().code == 0
    said = world.cli("events", "job").out + world.cli("verify", "job", "--offline").out
    with contextlib.closing(sqlite3.connect(world.ledger_path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    wrong = world.cli("verify", "job", "--offline")
    assert wrong.code == 3
    for line in (said + wrong.out).splitlines():
        assert not re.search(r"\bTrue\b|\bFalse\b|\bNone\b|[\[{]['\"0-9]|datetime\(", line), line
