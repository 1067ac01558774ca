"""Settings from flags, environment and file: each over the one before, and none of them guessed."""

import json

import pytest

from vl_ingest.cli.configfile import default_file
from world import World


def shown(world: World, *arguments: str) -> dict[str, tuple[object, str]]:
    """Return option -> (value, source) as `config show` has it."""
    ended = world.cli("config", "show", "--json", *arguments)
    assert ended.code == 0, ended.err
    return {line["option"]: (line["value"], line["source"]) for line in ended.lines}


def written(world: World, text: str) -> str:
    """Write a configuration file; return its path."""
    file = world.place / "config.toml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_each_source_stands_over_the_one_before(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flag over environment over file over default; and each value says where it comes from."""
    file = written(
        world,
        'batch-size = 7\nbatch-bytes = "1MiB"\nworkers = 3\nsettle = 60\ninclude = "*.jpg"\nwait = false\n',
    )
    monkeypatch.setenv("VL_INGEST_WORKERS", "4")
    monkeypatch.setenv("VL_INGEST_BATCH_BYTES", "2MiB")
    values = shown(world, "--config", file, "--batch-bytes", "3MiB")
    assert values["batch-size"] == (7, f"file: {file}")
    assert values["batch-bytes"] == (3 * 1024**2, "flag")
    assert values["workers"] == (4, "environment: VL_INGEST_WORKERS")
    assert values["settle"] == (60.0, f"file: {file}")
    assert values["include"] == (["*.jpg"], f"file: {file}")
    assert values["wait"] == (False, f"file: {file}")
    assert values["on-rejected"] == ("hold", "default")
    assert "Configuration file: " + file in world.cli("config", "show", "--config", file).out


def test_a_run_works_with_the_file(world: World) -> None:
    """Also one in its default place; a known job keeps what it was told when it is resumed."""
    world.pictures(4)
    file = default_file()
    assert str(world.place) in str(file)
    file.parent.mkdir(parents=True)
    file.write_text('exclude = ["p0003*"]\nno-auth = true\n', encoding="utf-8")
    world.box.add_fault("trigger:403:times=1")
    assert world.run().code == 7
    assert len(world.files()) == 3
    file.write_text('on-rejected = "skip"\n', encoding="utf-8")
    assert world.cli("resume", "job").code == 0
    settings = world.job().settings
    assert (settings["exclude"], settings["on_rejected"]) == (["p0003*"], "hold")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batchsize = 3", "there is no option 'batchsize'. Did you mean 'batch-size'?"),
        ("zzz = 3", "there is no option 'zzz'."),
        ('api-secret = "s3cret"', "secrets don't belong there"),
        ('batch-size = "many"', "batch-size: 'many' is not a valid integer"),
        ("batch-size = 0", "batch-size: 0 is not in the range"),
        ('settle = "soon"', "settle: 'soon' is not a duration"),
        ('wait = "no"', "use true or false"),
        ("settle = true", "use true or false"),
        ('ledger = ["a", "b"]', "takes one value"),
        ("include = [{}]", "neither text nor a number"),
        ("[run]\nworkers = 3", "there is no option 'run'"),
        ("workers =", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused(world: World, text: str, said: str) -> None:
    """With its name, the key, and what is wrong; and no secret is repeated."""
    file = written(world, text)
    ended = world.cli("config", "show", "--config", file)
    assert ended.code == 2
    assert said in ended.err
    assert file in ended.err
    assert "s3cret" not in ended.err


def test_a_named_file_must_be_there(world: World) -> None:
    """The default one need not."""
    ended = world.cli("config", "show", "--config", str(world.place / "nowhere.toml"))
    assert ended.code == 2
    assert "Can't read the configuration file" in ended.err
    assert world.cli("config", "show").code == 0


def test_mistyped_words_are_met_with_a_suggestion(world: World) -> None:
    """Commands, options, choices, and names of jobs."""
    world.pictures(1)
    assert world.run(name="holidays").code == 0
    for arguments, said in (
        (["stauts"], "'status'"),
        (["run", "x", "--nmae", "y"], "--name"),
        (["run", "x", "--name", "y", "--on-rejected", "hodl"], "'hold'"),
        (["status", "holidaze"], "Did you mean 'holidays'?"),
    ):
        ended = world.cli(*arguments)
        assert ended.code == 2
        assert said in ended.err, ended.err


def test_a_switch_goes_both_ways(world: World) -> None:
    """What the file turns off, a flag turns on again."""
    file = written(world, "wait = false\nrecursive = false\n")
    values = shown(world, "--config", file, "--wait", "--recursive")
    assert (values["wait"], values["recursive"]) == ((True, "flag"), (True, "flag"))


def test_a_variable_that_is_no_setting_is_warned_of(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, with the one that was perhaps meant; what a hook is told is another thing."""
    monkeypatch.setenv("VL_INGEST_NO_WAIT", "1")
    monkeypatch.setenv("VL_INGEST_HOOK_JOB", "x")
    world.pictures(1)
    ended = world.run()
    assert ended.code == 0
    assert ended.err.count("is not a setting") == 1
    assert "VL_INGEST_NO_WAIT in the environment is not a setting. Did you mean VL_INGEST_WAIT?" in ended.err
    pruned = world.cli("jobs", "prune", "--older-than", "1d", "--dry-run")
    assert (pruned.code, pruned.err.count("is not a setting")) == (0, 1)


def test_an_option_before_a_command_of_jobs_is_not_lost(world: World) -> None:
    """It would go to the list of jobs, and `prune` work on another ledger."""
    ended = world.cli("jobs", "--ledger", "elsewhere", "prune", "--older-than", "1d")
    assert (ended.code, "Write the options after `prune`" in ended.err) == (2, True)


def test_people_are_shown_values_as_people_write_them(world: World) -> None:
    """Sizes and durations with their units."""
    said = world.cli("config", "show", "--include", "*.jpg", "--include", "*.png").out
    for line in (
        "batch-bytes 64.0 MiB",
        "workers auto",
        "settle 30 s",
        "include *.jpg, *.png",
        "no-auth false",
    ):
        assert line in " ".join(said.split())


def test_what_config_show_prints_is_a_file(world: World) -> None:
    """Every option it names may stand in a file."""
    keys = shown(world)
    lines = [f"{key} = {json.dumps(value)}" for key, (value, _) in keys.items() if value is not None]
    assert len(lines) > 12
    assert world.cli("config", "show", "--config", written(world, "\n".join(lines))).code == 0
