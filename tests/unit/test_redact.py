"""Credentials do not get into what is written for later."""

import json

import pytest

from vl_ingest.server.redact import redact


def test_what_the_environment_holds_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key, secret and token, also as JSON writes them."""
    monkeypatch.setenv("VISUAL_LAYER_API_SECRET", 'se"cret-value')
    monkeypatch.setenv("VISUAL_LAYER_TOKEN", "token-value")
    assert redact('a se"cret-value b token-value') == "a *** b ***"
    assert json.loads(redact(json.dumps({"text": 'se"cret-value'}))) == {"text": "***"}


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Authorization: Bearer abc.def-1", "Authorization: Bearer ***"),
        ("eyJhbGciOi.eyJzdWIi.c2ln here", "*** here"),
        ("http://user:pass@proxy:3128/x", "http://***@proxy:3128/x"),
        ("nothing of the kind, 12:30@home", "nothing of the kind, 12:30@home"),
    ],
)
def test_what_looks_like_a_credential_is_hidden(text: str, hidden: str) -> None:
    """Wherever it came from."""
    assert redact(text) == hidden
