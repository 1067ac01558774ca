"""Acknowledged by the server, taken as delivered on a person's word, possibly twice: told apart wherever they are told."""

import csv
import io
import json

import pytest
from sqlalchemy import text

from vl_ingest.domain.model import FILTER
from vl_ingest.ledger.author import author
from vl_ingest.report.table import unquoted
from world import World


@pytest.fixture
def settled(world: World) -> World:
    """Return a world whose job is ready: five files acknowledged, five taken as delivered."""
    world.pictures(10)
    world.box.add_fault("upload:lost-answer:times=1")
    assert world.run("--on-unknown", "hold").code == 13
    assert world.cli("settle", "job", "--delivered").code == 0
    assert world.run().code == 0
    return world


@pytest.fixture
def twice(world: World) -> World:
    """Return a world whose job is ready: five of ten files were sent again after a request without a receipt."""
    world.pictures(10)
    world.box.add_fault("upload:lost-answer:times=1")
    assert world.run().code == 0
    return world


def counts(facts: dict[str, int]) -> tuple[int, int, int]:
    """Return how many files are acknowledged, taken as delivered, and possibly twice."""
    return facts["acknowledged"], facts["taken_as_delivered"], facts["possibly_twice"]


def test_the_summary_of_a_run_and_the_status_tell_them_apart(settled: World) -> None:
    """For programs in numbers, for people in words; a person's word is no second delivery."""
    (status,) = settled.cli("status", "job", "--json").lines
    assert counts(status) == (5, 5, 0)
    assert counts(settled.run().summary) == (5, 5, 0)
    said = settled.cli(*[word for word in settled.arguments() if word != "--json"]).err
    assert "10 files: 5 acknowledged, 5 taken as delivered" in said
    assert "twice" not in said
    assert "5 of the sent files are taken as delivered" in settled.cli("status", "job").out


def test_files_sent_again_after_a_lost_answer_are_acknowledged_and_possibly_twice(twice: World) -> None:
    """They have a receipt; only their number of copies is in doubt."""
    (status,) = twice.cli("status", "job", "--json").lines
    assert counts(status) == (10, 0, 5)
    listed = twice.cli("files", "job", "--json").lines
    assert {line["delivery"] for line in listed} == {"acknowledged"}
    assert sum(line["possibly_twice"] for line in listed) == 5


def test_a_word_is_kept_with_who_gave_it_and_taken_back_with_the_transaction(settled: World) -> None:
    """The row names the author and has no hash; sent again into a new transaction, nothing of that is left."""
    listed = settled.cli("files", "job", "--json").lines
    by_word = [line for line in listed if line["delivery"] == "taken_as_delivered"]
    assert len(by_word) == 5
    assert {line["sha256"] for line in by_word} == {None}
    assert decided(settled) == {author(): 5, None: 5}


def test_a_new_transaction_forgets_the_word(world: World) -> None:
    """What is pending again was decided by nobody."""
    world.pictures(10)
    world.box.add_fault("upload:lost-answer:times=1")
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run("--on-unknown", "hold").code == 13
    assert world.cli("settle", "job", "--delivered").code == 0
    assert world.run("--new-transaction").code == 3
    assert decided(world) == {None: 11}


def decided(world: World) -> dict[str | None, int]:
    """Return who decided -> on how many files."""
    with world.ledger() as ledger, ledger.db.read() as connection:
        rows = connection.execute(text("SELECT decided_by, count(*) AS files FROM files GROUP BY decided_by"))
        return {row.decided_by: row.files for row in rows}


def test_each_report_says_on_whose_word(settled: World) -> None:
    """Headline, tiles, table, value and text; nothing of it is called acknowledged, sent again, or sent as it was found."""
    page = settled.cli("report", "job", "--format", "html").out
    text = settled.cli("report", "job").out
    facts = json.loads(settled.cli("report", "job", "--json").out)
    said = f"5 files acknowledged by the server, 5 files taken as delivered by decision of {author()}"
    for told in (page, text, facts["verdict"]):
        assert said in told
        assert "Complete" not in told
    assert counts(facts["totals"]) == (5, 5, 0)
    assert "5 acknowledged, 5 taken as delivered" in text
    assert "The server has acknowledged none of this" in page
    assert "acknowledged every file" not in page
    assert "sent again after a request without a receipt." in page, "none was"
    rows = list(csv.DictReader(io.StringIO(settled.cli("report", "job", "--format", "csv").out)))
    by_word = [row for row in rows if row["delivery"] == "taken_as_delivered"]
    assert len(by_word) == 5
    for row in by_word:
        assert (row["sha256"], row["http_status"], row["possibly_twice"]) == ("", "", "no")
        assert row["decided_by"] == author()
        assert row["decided_at"].endswith("Z")
    assert sum(row["delivery"] == "acknowledged" and not row["decided_by"] for row in rows) == 5


def test_an_earlier_ledger_names_nobody_and_its_events_do(settled: World) -> None:
    """Where the row has no name, the report takes it from the history."""
    before = settled.cli("report", "job", "--format", "csv").out
    with settled.ledger() as ledger, ledger.db.write() as connection:
        connection.execute(text("UPDATE files SET decided_by = NULL"))
    assert settled.cli("report", "job", "--format", "csv").out == before
    assert settled.cli("verify", "job", "--offline").code == 0


def test_a_name_that_was_put_into_a_row_is_found(settled: World) -> None:
    """Whose word it was stands under the seals."""
    with settled.ledger() as ledger, ledger.db.write() as connection:
        connection.execute(text("UPDATE files SET decided_by = 'eve@vm' WHERE decided_by IS NOT NULL"))
    ended = settled.cli("verify", "job", "--offline")
    assert ended.code == 3
    assert f"was taken as delivered by {author()}, not by eve@vm" in ended.out


def test_a_filter_is_named_as_the_one_who_waived(world: World) -> None:
    """With its pattern, in the table and in the headline; it is nobody's word."""
    world.pictures(2)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    assert world.run("--exclude", "torn.png").code == 0
    rows = csv.DictReader(io.StringIO(world.cli("report", "job", "--format", "csv").out))
    (waived,) = [row for row in rows if row["state"] == "waived"]
    assert waived["decided_by"] == FILTER
    assert "torn.png" in waived["decided_why"]
    assert unquoted(waived["decided_why"]) in waived["reason"]
    assert f"1 file waived by {FILTER}" in world.cli("report", "job").out
