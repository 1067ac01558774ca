"""The options of a run and the settings that they make: one set of defaults, which stands in the settings."""

import importlib.util
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from vl_ingest.cli import options
from vl_ingest.domain.choices import Changed, OnRejected, OnUnknown, Reindex
from vl_ingest.domain.settings import Settings

OTHERS: dict[str, Any] = {
    "batch_size": 51, "batch_bytes": 8_500_000, "workers": 5, "processes": 3, "include": ("*.jpg",), "exclude": ("old/",),
    "dask": "tcp://scheduler:8786", "remote_source": "/data/photos",
    "exclude_from": ("/dev/null",), "min_size_bytes": 1024, "max_size_bytes": 8_500_000, "newer_than_s": 86400.0,
    "files_from": "/dev/null", "recursive": False, "on_rejected": OnRejected.SKIP, "on_unknown": OnUnknown.HOLD,
    "settle_s": 45.5, "give_up_after_s": 172800.0, "first_contact_s": 30.0, "max_duration_s": 90.0, "bwlimit": "8M", "stall_after_s": 0.0,
    "wait": False, "confirm": True, "add": True, "add_bytes": 8_500_000, "add_files": 77, "reindex": Reindex.NEVER, "changed": Changed.SEND, "skip_known_content": True, "path_field": "original_path",
    "folder_field": "label",
}  # fmt: skip


def _made_again() -> ModuleType:
    """Return the module of options as a program that starts now would have it."""
    spec = importlib.util.spec_from_file_location("options_made_again", Path(options.__file__))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _command(module: ModuleType) -> click.Command:
    return click.command()(module.setting_options(lambda **_values: None))


@pytest.mark.parametrize("defaults", [{}, OTHERS], ids=["the defaults", "other defaults"])
def test_the_defaults_of_all_options_are_those_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, defaults: dict[str, Any]
) -> None:
    """A default that is changed in the settings is changed for the command, in its values and in its help."""
    assert set(OTHERS) == {field.name for field in fields(Settings)}
    wanted = {field.name: defaults.get(field.name, field.default) for field in fields(Settings)}
    monkeypatch.setattr(Settings.__init__, "__defaults__", tuple(wanted.values()))
    module = _made_again()
    command = _command(module)
    with command.make_context("run", []) as context:
        assert context.params == wanted
        shown = {str(option.name): option.get_help_record(context) for option in command.params}
    for name, record in shown.items():
        value, text = wanted[name], "" if record is None else record[1]
        if name in ("workers", "processes"):
            assert f"[default: {value or 'auto'}" in text
        elif value is None or isinstance(value, tuple):
            assert "default:" not in text
        elif isinstance(value, bool):
            assert f"[default: {'' if value else 'no-'}{name.replace('_', '-')}]" in text
        else:
            kind = next(option.type for option in command.params if option.name == name)
            written = text.partition("[default: ")[2].rstrip("]").partition(";")[0]
            assert kind.convert(written, None, None) == value
