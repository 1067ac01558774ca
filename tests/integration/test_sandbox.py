"""The stand-in server follows the public facts, so that what is proven against it means something."""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import jwt
import pytest
import requests

from vl_ingest.sandbox import Sandbox, parse_fault
from world import CLEAN, COMMAND, PATIENCE_S, World

PICTURE = ("files", ("one.png", b"\x89PNG", "image/png"))


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sandbox]:
    """Return a server that looks at names, not into pictures."""
    with Sandbox(root=tmp_path / "server", check_images=False) as server:
        yield server


def _open(box: Sandbox) -> tuple[str, str]:
    """Make a dataset with a transaction; return the URLs of upload and trigger."""
    base = f"{box.url}/api/v1/ingestion"
    made = requests.get(f"{base}/new_dataset", params={"dataset_name": "x"}, timeout=10)
    assert made.status_code == 200
    dataset = made.json()["dataset_id"]
    opened = requests.get(f"{base}/{dataset}/data_files", timeout=10)
    assert opened.status_code == 200
    transaction = opened.json()["trans_id"]
    assert isinstance(transaction, int)
    return f"{base}/{dataset}/data_files/{transaction}", f"{base}/{dataset}/process_files/{transaction}"


def test_the_four_steps_answer_as_documented(box: Sandbox) -> None:
    """200, 200, 202, 202; a second trigger and a late upload are 409."""
    upload, trigger = _open(box)
    assert requests.post(upload, files=[PICTURE], timeout=10).status_code == 202
    assert requests.post(trigger, timeout=10).status_code == 202
    assert requests.post(trigger, timeout=10).status_code == 409
    assert requests.post(upload, files=[PICTURE], timeout=10).status_code == 409
    assert box.record.triggers_accepted() == 1
    assert [arrival.name for arrival in box.record.files()] == ["one.png"]


def test_refusals_are_the_documented_ones(box: Sandbox) -> None:
    """422 for `files[]` and a missing name, 404 for what is not there, 400 for one bad file, which refuses all."""
    upload, _ = _open(box)
    other = ("files", ("notes.txt", b"x", "text/plain"))
    assert requests.post(upload, files=[("files[]", PICTURE[1])], timeout=10).status_code == 422
    refused = requests.post(upload, files=[PICTURE, other], timeout=10)
    assert refused.status_code == 400
    assert "notes.txt" in refused.json()["detail"]
    assert requests.get(f"{box.url}/api/v1/ingestion/new_dataset", timeout=10).status_code == 422
    assert requests.get(f"{box.url}/api/v1/dataset/none", timeout=10).status_code == 404
    assert requests.post(upload + "1", files=[PICTURE], timeout=10).status_code == 404
    assert box.record.files() == []


def test_every_request_wants_a_token_made_with_the_credentials(tmp_path: Path) -> None:
    """The cloud's rules: HS256, kid and sub the key, iss sdk, not expired."""
    secret = "s" * 40
    claims = {"sub": "key", "iss": "sdk", "iat": 1, "exp": 4_000_000_000}

    def ask(secret: str = secret, kid: str = "key", **changed: object) -> int:
        token = jwt.encode({**claims, **changed}, secret, algorithm="HS256", headers={"kid": kid})
        url = f"{cloud.url}/api/v1/ingestion/new_dataset?dataset_name=x"
        return requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=10).status_code

    with Sandbox(root=tmp_path / "server", credentials=("key", secret)) as cloud:
        assert ask() == 200
        assert ask(secret="w" * 40) == 401
        assert ask(kid="other") == 401
        assert ask(sub="other") == 401
        assert ask(iss="me") == 401
        assert ask(exp=2) == 401
        assert len(cloud.record.datasets()) == 1


def test_a_sandbox_that_is_started_again_goes_on(tmp_path: Path) -> None:
    """Its record is its memory: datasets, transactions and triggers outlive the process."""
    root = tmp_path / "server"
    with Sandbox(root=root, check_images=False) as box:
        upload, trigger = _open(box)
        requests.post(upload, files=[PICTURE], timeout=10)
        before = box.url
    with Sandbox(root=root, check_images=False) as box:
        trigger = trigger.replace(before, box.url)
        assert requests.post(trigger, timeout=10).status_code == 202
        assert requests.post(trigger, timeout=10).status_code == 409


def test_a_fault_that_is_cleared_holds_no_answer_back(world: World) -> None:
    """What it delayed is answered at once."""
    upload, _ = _open(world.box)
    picture = ("files", ("one.png", world.picture("one.png").read_bytes(), "image/png"))
    world.box.add_fault("upload:slow:seconds=600")
    with ThreadPoolExecutor(1) as asking:
        asked = asking.submit(requests.post, upload, files=[picture], timeout=PATIENCE_S)
        world.until(world.box.record.files, "the file arrived")
        assert not asked.done()
        world.box.clear_faults()
        assert asked.result().status_code == 202


@pytest.mark.parametrize(
    "text", ["upload", "nowhere:503", "upload:oops", "upload:503:what=1", "upload:503:every=x"]
)
def test_a_fault_that_is_not_understood_is_said(text: str) -> None:
    """A mistyped fault is an error with a sentence, not a server that behaves."""
    with pytest.raises(ValueError, match=r"\w+ .*\w"):
        parse_fault(text)


def test_a_mistyped_fault_is_a_usage_error_of_the_command() -> None:
    """`vl-ingest sandbox --fault` says what is wrong, with exit code 2."""
    from vl_ingest.cli import command_line

    assert command_line(["sandbox", "--port", "0", "--fault", "nowhere:503"]) == 2


@contextmanager
def served(*options: str) -> Iterator[str]:
    """Serve with the real command; give the address."""
    command = [*COMMAND, "sandbox", "--port", "0", "--json", *options]
    with subprocess.Popen(command, env=CLEAN, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def test_the_command_serves_as_its_options_say(world: World, tmp_path: Path) -> None:
    """Old words, a late status, a largest request, and what arrives is kept."""
    pictures = {path.read_bytes() for path in world.pictures(8)}
    root = tmp_path / "kept"
    limit = 4 * (max(map(len, pictures)) + 200)
    slow = ["--draft", "0.5s", "--indexing", "1s", "--old-statuses"]
    with served("--root", str(root), "--keep-files", "--max-request", str(limit), *slow) as url:
        ended = world.run("--base-url", url, "--batch-size", "8", "--workers", "1", "--settle", "5s")
        assert ended.code == 0, ended.err
    assert "batch_split" in world.kinds()
    assert {path.read_bytes() for path in root.rglob("*") if path.is_file()} >= pictures
    with world.ledger() as ledger:
        told = [event.facts["status"] for event in ledger.events.history(world.job().id, "status_changed")]
    assert told[-1] == "READY"


def test_the_command_lets_processing_fail(world: World) -> None:
    """With the words that it was given, here in a file: exit code 12, and `status` repeats them."""
    world.pictures(1)
    file = world.place / "sandbox.toml"
    file.write_text('processing-error = "no luck today"\nindexing = 0\n', encoding="utf-8")
    with served("--config", str(file)) as url:
        ended = world.run("--base-url", url)
    assert (ended.code, "no luck today" in ended.err) == (12, True)
    assert "no luck today" in world.cli("status", "job").out


def test_the_command_serves_what_is_optional_as_its_options_say(world: World) -> None:
    """Features that are missing, when tasks appear, what befalls the server's work."""
    with served(
        "--without", "list,export", "--tasks", "create", "--indexing", "0s", "--fault", "processing:failed:times=1",
    ) as url:  # fmt: skip
        api = f"{url}/api/v1"
        made = requests.get(f"{api}/ingestion/new_dataset", params={"dataset_name": "x"}, timeout=10).json()
        assert requests.get(f"{api}/datasets", timeout=10).status_code == 404
        tasks = requests.get(f"{api}/tasks", timeout=10).json()["tasks"]
        assert [(task["dataset_id"], task["status"]) for task in tasks] == [
            (made["dataset_id"], "INITIALIZING")
        ]
        world.pictures(1)
        assert world.run("--base-url", url).code == 12


@pytest.mark.parametrize(
    ("option", "value"), [("--without", "taks"), ("--tasks", "sometimes"), ("--fault", "processing:503")]
)
def test_a_mistyped_option_is_a_usage_error_of_the_command(
    capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    """It is said, with exit code 2."""
    from vl_ingest.cli import command_line

    assert command_line(["sandbox", "--port", "0", option, value]) == 2
    assert value.rpartition(":")[2] in capsys.readouterr().err
