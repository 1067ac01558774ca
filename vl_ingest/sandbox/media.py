"""What is in a dataset: the media that its files have become."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from vl_ingest.sandbox.endpoint import Entry, Happens
from vl_ingest.sandbox.record import Record
from vl_ingest.sandbox.store import VIDEOS, Store, extension, group
from vl_ingest.sandbox.works import derived

FRAMES = 3  # of every video
IMAGE, FRAME = "image", "video_frame"


class Medium(NamedTuple):
    """An image, or a frame of a video. `sent_as` is the name of the file that it was made from."""

    media_id: str
    kind: str
    sent_as: str
    file_name: str
    file_path: str
    size_bytes: int


def media(record: Record, store: Store, dataset_id: str, frame_folder: str = "name") -> Iterator[Medium]:
    """Yield the media of a dataset that have been processed, in the order in which their files came."""
    groups = store.dataset(dataset_id).groups(store.clock())
    wrong: Counter[tuple[int, str]] = Counter()
    for entry in record.entries("medium_swallowed", "medium_doubled"):
        if entry["dataset_id"] == dataset_id:
            wrong[entry["request"], entry["name"]] += 1 if entry["kind"] == "medium_doubled" else -1
    arrived = record.entries("file_received")
    last = {
        (entry["dataset_id"], group(entry), entry["name"]): number for number, entry in enumerate(arrived)
    }
    for number, entry in enumerate(arrived):
        if store.replaces and last[entry["dataset_id"], group(entry), entry["name"]] != number:
            continue
        if entry["dataset_id"] == dataset_id and group(entry) in groups:
            for copy in range(1 + wrong[entry["request"], entry["name"]]):
                yield from _of_file(entry, f"{dataset_id} {number} {copy}", frame_folder)


def held(record: Record, store: Store, dataset_id: str) -> Counter[str]:
    """Return how often the files of each name are in a dataset."""
    first = f"{1:06}.jpg"
    found = media(record, store, dataset_id)
    return Counter(m.sent_as for m in found if m.kind == IMAGE or m.file_path.endswith(first))


def misfortunes(arrivals: Iterable[Entry], happens: Happens) -> Iterator[Entry]:
    """Yield the entries that say which of these files the indexer swallows or doubles."""
    for arrival in arrivals:
        fault = happens("medium", arrival["name"])
        if fault is not None:
            facts: dict[str, Any] = {
                key: arrival[key] for key in ("dataset_id", "transaction_id", "task_id", "request", "name") if key in arrival
            }  # fmt: skip
            yield {"kind": "medium_doubled" if fault.kind == "double" else "medium_swallowed", **facts}


def _of_file(entry: Entry, key: str, frame_folder: str) -> Iterator[Medium]:
    name, size = entry["name"], entry["size_bytes"]
    if extension(name) not in VIDEOS:
        yield Medium(derived("image", key), IMAGE, name, name.rpartition("/")[2], name, size)
        return
    folder = name if frame_folder == "name" else name.rpartition(".")[0]
    for number in range(1, FRAMES + 1):
        frame = f"output_{number:06}.jpg"
        yield Medium(derived(f"frame {number}", key), FRAME, name, frame, f"{folder}/{frame}", size // FRAMES)
