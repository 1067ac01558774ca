"""Settings, as they are kept in the ledger."""

import json
from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from vl_ingest.domain.choices import OnRejected, OnUnknown
from vl_ingest.domain.settings import Settings, option_text

SECONDS = st.floats(min_value=0, max_value=1e9)
GLOBS = st.lists(st.text(max_size=8), max_size=3).map(tuple)
SETTINGS = st.builds(
    Settings,
    batch_size=st.integers(1, 1000),
    batch_bytes=st.integers(1, 2**50),
    workers=st.none() | st.integers(1, 64),
    include=GLOBS,
    exclude=GLOBS,
    exclude_from=GLOBS,
    min_size_bytes=st.none() | st.integers(0, 2**20),
    max_size_bytes=st.none() | st.integers(2**20, 2**50),
    newer_than_s=st.none() | SECONDS,
    files_from=st.none() | st.text(max_size=8),
    recursive=st.booleans(),
    on_rejected=st.sampled_from(OnRejected),
    on_unknown=st.sampled_from(OnUnknown),
    settle_s=SECONDS,
    give_up_after_s=SECONDS,
    first_contact_s=SECONDS,
    max_duration_s=st.none() | SECONDS,
    wait=st.booleans(),
)


@given(settings=SETTINGS)
def test_settings_come_back_from_the_ledger(settings: Settings) -> None:
    """Written as JSON and read again, settings are equal to what they were, in their own types."""
    again = Settings.from_record(json.loads(json.dumps(settings.to_record())))
    assert again == settings
    assert [type(getattr(again, f.name)) for f in fields(Settings)] == [
        type(getattr(settings, f.name)) for f in fields(Settings)
    ]


def test_settings_of_a_newer_version_are_ignored() -> None:
    """A ledger written by a newer program can still be worked on: what is not known is left aside."""
    record = {**Settings(workers=7).to_record(), "telepathy": ["on"], "colour": None}
    assert Settings.from_record(record) == Settings(workers=7)


def test_settings_that_an_older_version_did_not_write_have_their_defaults() -> None:
    """A record without a setting means the setting's default."""
    assert Settings.from_record({"workers": 2}) == Settings(workers=2)
    assert Settings.from_record({}) == Settings()


def test_a_rule_read_from_a_record_is_a_member_again() -> None:
    """The rules come back as their enumerations, which the code compares by identity."""
    settings = Settings.from_record({"on_rejected": "skip", "on_unknown": "hold"})
    assert settings.on_rejected is OnRejected.SKIP
    assert settings.on_unknown is OnUnknown.HOLD


def test_a_setting_is_named_as_on_the_command_line() -> None:
    """Whatever its value is: what a report calls a changed option can be typed."""
    from vl_ingest.cli.run import run

    flags = {flag for option in run.params for flag in (*option.opts, *option.secondary_opts)}
    for field, value in Settings().to_record().items():
        for other in (value, None, True, False, 3, ["a b"]):
            text = option_text(field, other)
            assert text.removeprefix("no ").split()[0] in flags or isinstance(other, bool), text
    assert option_text("recursive", False) == "--no-recursive"
    assert option_text("batch_bytes", 8 * 1024**2) == "--batch-bytes 8MiB"
    assert option_text("settle_s", 90.0) == "--settle 90s"
    assert option_text("workers", None) == "--workers auto"
    assert option_text("processes", None) == "--processes auto"
    assert option_text("exclude", ["a/", "b/"]) == "--exclude a/ --exclude b/"
    assert option_text("exclude", []) == "no --exclude"
