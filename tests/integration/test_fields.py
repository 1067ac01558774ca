"""Paths and folders as custom metadata: each medium gets its value once, whatever becomes of the requests."""

from pathlib import Path

import pytest

from conftest import MakeWorld
from vl_ingest.sandbox import Sandbox
from world import World

FIELDS = ("--path-field", "original_path", "--folder-field", "label")


def values(world: World) -> dict[str, dict[str, str]]:
    """Return field -> name of the medium's file -> value, by the server."""
    dataset = world.job().dataset_id or ""
    names = {file.media_id: file.sent_as for file in world.files()}
    found = world.box.record.values(dataset)
    return {
        field: {names[media_id]: value for media_id, value in given.items()} for field, given in found.items()
    }


def grown(world: World) -> World:
    """Return the world with two labelled folders, sent with fields."""
    world.picture("cats/a.png", 1)
    world.picture("dogs/b.png", 2)
    world.picture("c.png", 3)
    return world


def test_each_file_keeps_its_path_and_its_folder(world: World) -> None:
    """After the upload, and after an addition for what is new; a value is given once."""
    grown(world)
    ended = world.run("--add", *FIELDS)
    assert ended.code == 0, ended.err
    first = {"a.png": "cats", "b.png": "dogs", "c.png": "."}
    assert values(world)["label"] == first
    assert values(world)["original_path"] == {"a.png": "cats/a.png", "b.png": "dogs/b.png", "c.png": "c.png"}
    requests = len(world.box.record.requests("values"))
    assert world.run("--add", *FIELDS).code == 0
    assert len(world.box.record.requests("values")) == requests
    world.picture("cows/d.png", 4)
    assert world.run("--add", *FIELDS).code == 0
    assert values(world)["label"] == {**first, "d.png": "cows"}
    assert len(world.box.record.requests("field")) == 2
    assert all(not entry["errors"] for entry in world.box.record.entries("values_accepted"))
    world.check_promises()


@pytest.mark.parametrize("without", ["metadata", "export,export-ids"])
def test_a_server_without_it_is_a_warning(make_world: MakeWorld, without: str) -> None:
    """The dataset is ready all the same: 0."""
    world = grown(make_world(without=[without]))
    ended = world.run(*FIELDS)
    assert ended.code == 0
    assert "Paths are not kept" in ended.err


@pytest.mark.parametrize(
    "fault",
    [
        "values:lost-answer",
        "values:reset-after",
        "values:503:done=yes",
        "values:409",
        "values:503",
    ],
)
def test_a_lost_answer_to_values_is_settled_by_the_task(world: World, fault: str) -> None:
    """They are there once, and no value is refused as given already."""
    grown(world)
    world.box.add_fault(f"{fault}:times=1")
    ended = world.run(*FIELDS)
    assert ended.code == 0, ended.err
    assert values(world)["label"] == {"a.png": "cats", "b.png": "dogs", "c.png": "."}
    assert all(not entry["errors"] for entry in world.box.record.entries("values_accepted"))
    world.check_promises()


def test_a_field_whose_making_is_unknown_is_for_a_person(world: World) -> None:
    """13, again and again; with another name it goes on."""
    grown(world)
    world.box.add_fault("field:lost-answer:times=1")
    assert world.run("--path-field", "lost").code == 13
    assert world.run("--path-field", "lost").code == 13
    assert len(world.box.record.requests("field")) == 1
    assert world.job().state == "ready"
    assert world.run("--path-field", "found").code == 0
    assert set(values(world)) == {"found"}


def test_a_field_that_exists_already_is_said(tmp_path: Path) -> None:
    """Somebody has made it: a warning, nothing else."""
    with Sandbox(root=tmp_path / "server", faults=["field:409"]) as box:
        world = grown(World(tmp_path, box))
        ended = world.run("--path-field", "taken")
        assert ended.code == 0
        assert "Paths are not kept" in ended.err


def test_errors_of_before_are_not_taken_for_those_of_now(world: World) -> None:
    """The task counts all errors that it ever had: a lost part is settled, and files are named, by what has come since."""
    grown(world)
    assert world.run("--path-field", "path").code == 0
    field = world.box._app._states[2].__self__._fields  # type: ignore[attr-defined]  # as the server has it
    (made,) = field.values()
    made.errors += [
        {"row": {"media_id": f"old {number}"}, "error": "unknown media_id"} for number in range(3)
    ]
    world.picture("cows/d.png", 4)
    world.picture("cows/e.png", 5)
    world.box.add_fault("values:reset-after:times=1")
    ended = world.run("--add", "--path-field", "path")
    assert ended.code == 0, ended.err
    assert values(world)["path"].keys() == {"a.png", "b.png", "c.png", "d.png", "e.png"}
    assert "refused" not in ended.err
    assert "values_not_sent" in world.kinds()


def test_values_that_are_redirected_are_sent_once(world: World) -> None:
    """A warning with the address; nothing is followed, and nothing is repeated."""
    grown(world)
    world.box.add_fault("values:redirect:to=http://127.0.0.1:9/elsewhere")
    ended = world.run("--path-field", "path")
    assert ended.code == 0
    assert "127.0.0.1:9" in ended.err
    assert len(world.box.record.requests("values")) == 1
