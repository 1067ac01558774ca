"""The shape of the package: imports point one way, and each kind of thing is in its room."""

import ast
import itertools
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from vl_ingest.server import variables
from world import call

DESCRIBED = (ast.Module, ast.ClassDef, ast.FunctionDef)

ROOT = Path(__file__).parents[2] / "vl_ingest"


def _modules() -> dict[str, ast.Module]:
    found = {}
    for path in ROOT.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name != "__init__":
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


MODULES = _modules()


def _imports(tree: ast.Module) -> Iterator[str]:
    """Yield every module that is imported anywhere in a file, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full.removeprefix("vl_ingest.") in MODULES else node.module


def test_imports_point_one_way() -> None:
    """The contracts of imports in `pyproject.toml` hold, also for imports inside functions."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    # Apart, because it turns off every logger that there is.
    done = call(sys.executable, "-c", program, "--no-cache", cwd=ROOT.parent)
    assert done.returncode == 0, done.stdout


def test_every_room_says_what_it_is_for() -> None:
    """A package's first lines are its description, and few modules lie outside the rooms."""
    assert all(ast.get_docstring(tree) for tree in MODULES.values())
    assert len(list(ROOT.glob("*.py"))) <= 10


@pytest.mark.parametrize(
    ("library", "rooms"),
    [
        ("requests", {"server.answers", "server.transport", "server.wire"}),
        ("urllib3", {"server.transport", "server.wire"}),
        ("sqlalchemy", {"ledger"}),
        ("alembic", {"ledger.database"}),
        ("click", {"cli"}),
        ("rich", {"cli"}),
        ("tenacity", {"run.retry"}),
        ("jwt", {"server.tokens", "sandbox"}),
        ("ijson", {"proof.listing"}),
        ("keyring", {"server.credentials"}),
        ("prometheus_client", {"observers.metrics"}),
        ("starlette", {"sandbox", "serve"}),
        ("uvicorn", {"sandbox", "serve"}),
        ("PIL", {"sandbox"}),
        ("jinja2", {"report", "serve.scenes"}),
        ("pygal", {"report"}),
        ("logging", {"observers.log", "server.transport"}),
        ("time", {"clock", "sandbox", "cli"}),
    ],
)
def test_each_library_has_its_room(library: str, rooms: set[str]) -> None:
    """One change, one place: a library is imported where its kind of work is done, and nowhere else."""
    users = {
        module
        for module, tree in MODULES.items()
        if any(name.split(".")[0] == library for name in _imports(tree))
    }
    assert users, f"nothing imports {library} any more"
    assert [user for user in users if not any(f"{user}.".startswith(f"{room}.") for room in rooms)] == []


def test_the_names_of_secret_variables_have_one_home() -> None:
    """Whatever reads, hides or mentions them takes the names from there; only descriptions spell them out."""
    spelled = set()
    for module, tree in MODULES.items():
        described = {
            ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, DESCRIBED)
        }
        strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        texts = [text for text in strings if isinstance(text, str) and text not in described]
        if any(name in text for text in texts for name in variables.SECRETS):
            spelled.add(module)
    assert spelled == {"server.variables"}


def _paths_made(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield what is given to functions of files and paths, divided as paths are, or put before a slash."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in {"open", "Path", "PurePath"} or (
                called.split(".")[0] in {"os", "io", "shutil"} and called != "os.fspath"
            ):
                yield from (*node.args, *(keyword.value for keyword in node.keywords))
        elif isinstance(node, ast.BinOp) and (
            isinstance(node.op, ast.Div) or ast.unparse(node.right) == "'/'"
        ):
            yield node.left
        elif isinstance(node, ast.JoinedStr):
            for value, after in itertools.pairwise(node.values):
                if isinstance(after, ast.Constant) and str(after.value).startswith("/"):
                    yield value


def _of_the_source(path: ast.expr) -> bool:
    """Return whether an expression holds a source or its address, or the path of one of its files (`row.path`)."""
    return any(
        (isinstance(node, ast.Name) and node.id == "source")
        or (isinstance(node, ast.Attribute) and node.attr in {"source", "_source", "address"})
        or (
            isinstance(node, ast.Attribute)
            and node.attr == "path"
            and ast.unparse(node.value) not in {"os", "self"}
        )
        for node in ast.walk(path)
    )


def test_only_the_source_knows_where_its_files_lie() -> None:
    """No file's path is joined to its source, or given to the operating system, outside of `source/`."""
    # The demo writes the folder that it then uploads; couriers of other processes are given a folder.
    elsewhere = {
        name: tree for name, tree in MODULES.items() if name.split(".")[0] not in {"source", "sandbox"}
    }
    made = {
        (name, ast.unparse(path))
        for name, tree in elsewhere.items()
        for path in _paths_made(tree)
        if name not in ("cli.demo", "couriers.content", "couriers.task") and _of_the_source(path)
    }
    assert made == set()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """A question about the options loads neither the database layer, nor HTTP, nor the server."""
    program = (
        "import sys; from vl_ingest.cli import command_line; command_line(sys.argv[1:]); "
        "sys.stderr.write(' '.join(sys.modules))"
    )
    done = call(sys.executable, "-c", program, *arguments)
    loaded = set(done.stderr.split())
    assert "click" in loaded
    assert not loaded & {
        "alembic",
        "sqlalchemy",
        "requests",
        "starlette",
        "uvicorn",
        "jinja2",
        "pygal",
        "PIL",
        "rich",
        "jwt",
    }


def test_the_list_of_commands_needs_none_of_them() -> None:
    """Neither the list of all, nor the manual, nor the shell that completes a command."""
    program = "import sys; from vl_ingest.cli import command_line, complete_here; {}; sys.stderr.write(' '.join(sys.modules))"
    asking = {"_VL_INGEST_COMPLETE": "bash_complete", "COMP_WORDS": "vl-ingest re", "COMP_CWORD": "1"}
    for asked, environment in (
        ("command_line(['--help'])", {}),
        ("command_line(['help'])", {}),
        ("command_line(['help', 'audit'])", {}),
        ("complete_here()", asking),
    ):
        done = call(sys.executable, "-c", program.format(asked), environment=environment)
        assert "report" in done.stdout
        loaded = set(done.stderr.split())
        assert "click" in loaded
        assert not loaded & {"vl_ingest.cli.options", "vl_ingest.domain.model", "vl_ingest.ledger", "rich"}, (
            asked
        )


def test_looking_at_a_ledger_needs_neither_alembic_nor_http(tmp_path: Path) -> None:
    """Alembic is loaded to upgrade, not to make a ledger or to look at one; and looking sends nothing."""
    program = (
        "import sys; from vl_ingest.ledger import Ledger; Ledger(sys.argv[1]).jobs.get_or_create('/s', 'n', 'u', {}); "
        "from vl_ingest.cli import command_line; command_line(['status', '--ledger', sys.argv[1]]); "
        "sys.stderr.write(' '.join(sys.modules))"
    )
    done = call(sys.executable, "-c", program, str(tmp_path / "ledger.db"))
    assert "Job " in done.stdout
    assert not set(done.stderr.split()) & {"alembic", "requests", "urllib3", "sqlalchemy.dialects.postgresql"}


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    """The commands are listed without being imported; the list is complete, and its sentences are theirs."""
    import click

    from vl_ingest.cli import cli
    from vl_ingest.cli.commands import COMMANDS

    modules = [import_module(f"vl_ingest.cli.{path.stem}") for path in (ROOT / "cli").glob("[a-z]*.py")]
    made = {
        value for module in modules for value in vars(module).values() if isinstance(value, click.Command)
    }
    parts = {
        part
        for command in made
        if isinstance(command, click.Group) and command is not cli
        for part in command.commands.values()
    }
    assert {command.name for command in made - parts - {cli}} == set(COMMANDS)
    said = {name: cli.commands[name].get_short_help_str(limit=200) for name in COMMANDS}
    assert said == {name: sentence for name, (_, sentence) in COMMANDS.items()}
