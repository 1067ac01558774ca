"""Names: what the ledger keeps can be turned back into the path, and what is sent fits into a header."""

import os
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vl_ingest.domain.formats import MEDIA_TYPES
from vl_ingest.domain.naming import candidate_names, path_from_text, path_to_text, wire_name

# Whatever a POSIX file system can hold: any bytes but NUL, with `/` between the parts.
PATHS = st.binary(min_size=1, max_size=60).filter(lambda raw: b"\0" not in raw).map(os.fsdecode)
BASE_NAMES = PATHS.filter(lambda name: "/" not in name)
EXTENSIONS = st.sampled_from(sorted(MEDIA_TYPES)).flatmap(lambda ext: st.sampled_from([ext, ext.upper()]))


@given(path=PATHS)
@example(path="back\\slash")
@example(path="\\xff")  # four characters that look like an escaped byte
@example(path="\\\\xff\\")
@example(path=os.fsdecode(b"\xff\\xff"))
@example(path=os.fsdecode("ü\\".encode() + b"\xfc"))
@example(path="line\nfeed")
def test_every_path_comes_back_from_its_text(path: str) -> None:
    """Whatever the file system holds, the ledger's text leads back to exactly those bytes."""
    assert os.fsencode(path_from_text(path_to_text(path))) == os.fsencode(path)


@given(path=PATHS)
@example(path=os.fsdecode(b"\xed\xa0\x80"))  # a surrogate, encoded as if it were a character
def test_the_text_of_a_path_is_valid_unicode(path: str) -> None:
    """The text can be stored and printed as UTF-8, whatever bytes the path is made of."""
    assert path_to_text(path).encode("utf-8").decode("utf-8") == path_to_text(path)


@given(one=PATHS, other=PATHS)
@example(one="\\xff", other=os.fsdecode(b"\xff"))
@example(one="\\", other="\\\\")
def test_different_paths_have_different_texts(one: str, other: str) -> None:
    """No two paths share a text, so one file's row can't be taken for another's."""
    assert (path_to_text(one) == path_to_text(other)) == (one == other)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("photos/a.jpg", "photos/a.jpg"),
        ("photos/grün 😀.jpg", "photos/grün 😀.jpg"),
        ("back\\slash.jpg", "back\\\\slash.jpg"),
        ("ü\\.jpg", "ü\\\\.jpg"),
        (os.fsdecode(b"latin-\xfc.jpg"), "latin-\\xfc.jpg"),
        (os.fsdecode(b"\\\xfc.jpg"), "\\\\\\xfc.jpg"),
    ],
)
def test_the_text_stays_as_readable_as_it_can(path: str, text: str) -> None:
    """Only backslashes and bytes that are not UTF-8 look different in the ledger."""
    assert path_to_text(path) == text


@pytest.mark.parametrize(
    ("base_name", "sent"),
    [
        ("plain.jpg", "plain.jpg"),
        ("with space.jpg", "with space.jpg"),
        ('say "hi".jpg', "say %22hi%22.jpg"),
        ("two\r\nlines.jpg", "two%0D%0Alines.jpg"),
        ("tab\t.jpg", "tab%09.jpg"),
        ("bell\x07.jpg", "bell%07.jpg"),
        ("unit\x1f.jpg", "unit%1F.jpg"),
        ("delete\x7f.jpg", "delete%7F.jpg"),
        ("back\\slash.jpg", "back%5Cslash.jpg"),
        ("grün.jpg", "grün.jpg"),
        ("gru\u0308n.jpg", "gru\u0308n.jpg"),  # decomposed, as macOS writes it: not ours to compose
        ("😀.jpg", "😀.jpg"),
        (os.fsdecode(b"latin-\xfc.jpg"), "latin-%FC.jpg"),
        (os.fsdecode(b"\xed\xa0\x80.jpg"), "%ED%A0%80.jpg"),
        ("100%.jpg", "100%.jpg"),
        ("a;b='c'.jpg", "a;b='c'.jpg"),
    ],
)
def test_the_name_on_the_wire_is_escaped_as_documented(base_name: str, sent: str) -> None:
    """Quotes, line breaks, backslashes, control characters and broken UTF-8 are escaped; the rest is raw."""
    assert wire_name(base_name) == sent


@given(base_name=BASE_NAMES)
def test_the_name_on_the_wire_can_stand_between_quotes(base_name: str) -> None:
    """No name can end the quoted string, start another header line, or be invalid UTF-8."""
    sent = wire_name(base_name).encode("utf-8")
    assert sent
    assert re.search(rb'[\x00-\x1f\x7f"\\]', sent) is None


@given(stem=BASE_NAMES.filter(lambda name: not name.startswith(".")), extension=EXTENSIONS)
def test_every_candidate_keeps_the_extension(stem: str, extension: str) -> None:
    """The server goes by the extension, so each candidate ends in the file's own, in its own case."""
    for candidate in candidate_names(f"folder/{stem}{extension}"):
        assert os.path.splitext(candidate)[1] == extension


@given(path=PATHS)
def test_candidates_are_one_plain_name_and_distinct_others(path: str) -> None:
    """The plain base name comes first, and each further candidate is a new name."""
    names = list(candidate_names(path))
    assert names[0] == wire_name(path.rpartition("/")[2])
    assert len(names) == len(set(names)) == 4


@given(path=PATHS)
@example(path="a-v2.jpg")
@example(path="x" * 250 + ".png")
def test_versions_of_a_path_come_apart(path: str) -> None:
    """No candidate of one version is a candidate of another."""
    names = [name for version in (1, 2, 3, 10) for name in candidate_names(path, version)]
    assert len(names) == len(set(names)) == 16
    assert all(len(name) <= 255 for name in names[4:])


@given(folders=st.lists(PATHS, min_size=2, max_size=6, unique=True), base_name=BASE_NAMES)
@example(folders=[os.fsdecode(b"\xff"), "\\xff"], base_name="a.jpg")
def test_equal_base_names_in_different_folders_come_apart(folders: list[str], base_name: str) -> None:
    """Behind the plain name, no candidate of one path is a candidate of another."""
    hashed = [name for folder in folders for name in list(candidate_names(f"{folder}/{base_name}"))[1:]]
    assert len(hashed) == len(set(hashed))


def test_candidates_depend_on_the_path_alone() -> None:
    """A later run, or another machine, finds the very names that an earlier run has sent."""
    digest = "d177c7b03e9ae38ce25fd8946b8851a27d880f3bb7de438ebd96c214f61899e9"
    assert list(candidate_names("holiday/photo.jpg")) == [
        "photo.jpg",
        f"photo-{digest[:8]}.jpg",
        f"photo-{digest[:16]}.jpg",
        f"photo-{digest}.jpg",
    ]


@given(path=PATHS)
def test_candidates_can_stand_between_quotes_too(path: str) -> None:
    """The names with a hash are as harmless in a header as the plain one."""
    for name in candidate_names(path):
        assert re.search(rb'[\x00-\x1f\x7f"\\]', name.encode("utf-8")) is None


def test_a_long_name_keeps_its_hash_within_what_servers_store() -> None:
    """A server that cuts names at 255 characters can't make two of them equal."""
    plain, *hashed = candidate_names("a/" + "x" * 250 + ".png")
    assert len(plain) == 254
    assert all(len(name) <= 255 and name.endswith(".png") for name in hashed)
    assert len({name[:255] for name in hashed}) == 3
