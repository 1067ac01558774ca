"""The forms in which people write sizes, durations, numbers of workers and addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.forms import (
    duration_text,
    normalise_base_url,
    parse_duration,
    parse_processes,
    parse_size,
    parse_workers,
    size_text,
)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("4096", 4096),
        ("4096b", 4096),
        ("4096 B", 4096),
        ("1k", 1024),
        ("8M", 8 * 1024**2),
        ("8m", 8 * 1024**2),
        ("2G", 2 * 1024**3),
        ("1T", 1024**4),
        ("1kB", 1000),
        ("5MB", 5_000_000),
        ("1.5 GB", 1_500_000_000),
        ("1tb", 1000**4),
        ("1KiB", 1024),
        ("64MiB", 64 * 1024**2),
        ("64 mib", 64 * 1024**2),
        ("0.5GiB", 512 * 1024**2),
        ("1Ti", 1024**4),
        ("  7K \n", 7 * 1024),
    ],
)
def test_a_size_is_read_as_people_write_it(text: str, size_bytes: int) -> None:
    """A bare letter and `iB` count in 1024s, a letter with `B` in 1000s."""
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "M",
        "-1",
        "+1",
        "1e6",
        "1,000",
        "1_000",
        "64 XB",
        "64MM",
        "1.M",
        ".5M",
        "1 M 2",
        "0x10",
        "nan",
    ],
)
def test_what_is_not_a_size_is_refused_with_an_example(text: str) -> None:
    """The message repeats what was written and shows how to write it."""
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert str(caught.value) == f"{text!r} is not a size. Examples: 64MiB, 8M, 500000."


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("90", 90.0),
        ("90s", 90.0),
        ("0.5s", 0.5),
        ("15m", 900.0),
        ("15 M", 900.0),
        ("6h", 21_600.0),
        ("1.5h", 5_400.0),
        ("2d", 172_800.0),
        (" 2D ", 172_800.0),
    ],
)
def test_a_duration_is_read_as_people_write_it(text: str, seconds: float) -> None:
    """A bare number is seconds; letters are seconds, minutes, hours and days."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-5", "1w", "1h30m", "5 min", "1e3", "01:30", "1.h", "inf"])
def test_what_is_not_a_duration_is_refused_with_an_example(text: str) -> None:
    """The message repeats what was written and shows how to write it."""
    with pytest.raises(UsageError) as caught:
        parse_duration(text)
    assert str(caught.value) == f"{text!r} is not a duration. Examples: 90, 90s, 15m, 6h, 2d."


@pytest.mark.parametrize(
    ("spelling", "url"),
    [
        ("https://app.visual-layer.com", "https://app.visual-layer.com"),
        ("https://app.visual-layer.com/", "https://app.visual-layer.com"),
        ("https://app.visual-layer.com:443", "https://app.visual-layer.com"),
        ("HTTPS://App.Visual-Layer.COM:443//", "https://app.visual-layer.com"),
        (" https://app.visual-layer.com\n", "https://app.visual-layer.com"),
        ("http://localhost:80/", "http://localhost"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("http://localhost:443", "http://localhost:443"),
        ("https://localhost:80", "https://localhost:80"),
        ("http://10.0.0.7:", "http://10.0.0.7"),
        ("http://[::1]:80/", "http://[::1]"),
        ("http://[2001:DB8::1]:8080", "http://[2001:db8::1]:8080"),
        ("https://example.org/Visual/", "https://example.org/Visual"),
        ("https://example.org/a%20b", "https://example.org/a%20b"),
    ],
)
def test_spellings_of_one_server_become_one(spelling: str, url: str) -> None:
    """Case of scheme and host, the default port and a slash at the end make no difference; the path does."""
    assert normalise_base_url(spelling) == url


@pytest.mark.parametrize("url", ["https://example.org", "http://[::1]:8080/Path", "http://h:81/a/b"])
def test_a_normalised_address_stays_as_it_is(url: str) -> None:
    """Normalising twice is normalising once, so the ledger's spelling can be compared with a new one."""
    assert normalise_base_url(normalise_base_url(url)) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.org",
        "example.org:8080",
        "//example.org",
        "ftp://example.org",
        "https://",
        "https:///path",
        "https:example.org",
    ],
)
def test_what_is_not_an_http_address_is_refused_with_an_example(text: str) -> None:
    """Without http or https and a host there is nothing to connect to; the message shows a good one."""
    with pytest.raises(UsageError) as caught:
        normalise_base_url(text)
    assert str(caught.value) == (f"{text!r} is not a base URL. Example: https://app.visual-layer.com")


@pytest.mark.parametrize("text", ["http://h:99999", "http://h:http", "http://h:-1"])
def test_an_impossible_port_is_refused_with_its_reason(text: str) -> None:
    """The message says what is wrong with the port."""
    with pytest.raises(UsageError, match=r"is not a base URL: Port "):
        normalise_base_url(text)


@pytest.mark.parametrize("login", ["user:hunter2", "user", ":hunter2", ""])
def test_credentials_in_an_address_are_refused_and_not_repeated(login: str) -> None:
    """An address is recorded and shown, so it may hold no password, and the refusal must not show it."""
    with pytest.raises(UsageError, match="must not contain a user name or password") as caught:
        normalise_base_url(f"https://{login}@example.org")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["9" * 400, "5i", "5\u017f", "\u0665"])
def test_absurd_sizes_and_durations_are_usage_errors(text: str) -> None:
    """No number is so odd that it ends in anything but a sentence."""
    with pytest.raises(UsageError):
        parse_size(text)
    with pytest.raises(UsageError):
        parse_duration(text)


@pytest.mark.parametrize(
    "text", ["https://[::1", "http://x\u2100y", "http://a b", "http://a/?q=1", "http://a/#top"]
)
def test_what_is_more_or_less_than_a_base_url_is_refused(text: str) -> None:
    """Every odd address ends in a sentence."""
    with pytest.raises(UsageError):
        normalise_base_url(text)


@pytest.mark.parametrize(("text", "workers"), [("auto", None), (" AUTO ", None), ("1", 1), ("64", 64)])
def test_workers_are_a_number_or_find_themselves(text: str, workers: int | None) -> None:
    """`auto` is no number: it is found while sending."""
    assert parse_workers(text) == workers


@pytest.mark.parametrize("text", ["", "0", "65", "-1", "1.5", "many", "²"])
def test_no_other_number_of_workers_is_taken(text: str) -> None:
    """The message says what can be written."""
    with pytest.raises(UsageError, match="Use `auto`, or a number from 1 to 64"):
        parse_workers(text)


@pytest.mark.parametrize(("text", "processes"), [("auto", None), ("0", 0), ("2", 2), ("64", 64)])
def test_processes_are_a_number_or_found_while_sending(text: str, processes: int | None) -> None:
    """None at all is a number, too."""
    assert parse_processes(text) == processes


@pytest.mark.parametrize("text", ["", "65", "-1", "1.5", "many"])
def test_no_other_number_of_processes_is_taken(text: str) -> None:
    """The message says what can be written."""
    with pytest.raises(UsageError, match="Use `auto`, or a number from 0 to 64"):
        parse_processes(text)


@given(size_bytes=st.integers(0, 2**53))
def test_a_size_that_is_written_is_read_again(size_bytes: int) -> None:
    """What the help calls the default is that very number of bytes."""
    assert parse_size(size_text(size_bytes)) == size_bytes
    assert size_text(64 * 1024**2) == "64MiB"


@given(seconds=st.integers(0, 10**9 - 1))
def test_a_duration_that_is_written_is_read_again(seconds: int) -> None:
    """What the help calls the default is that very number of seconds."""
    assert parse_duration(duration_text(seconds)) == seconds
    assert [duration_text(each) for each in (0.5, 30, 600, 86400)] == ["0.5s", "30s", "10m", "24h"]
