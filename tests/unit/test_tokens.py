"""Tokens: made as the vendor documents, renewed in time, replaced once when refused, and never shown."""

import shlex
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from freezegun import freeze_time

from vl_ingest.domain.errors import CredentialsRefused, Refused, UsageError
from vl_ingest.server.credentials import find
from vl_ingest.server.tokens import (
    LIFETIME,
    RENEW_BEFORE,
    Tokens,
    from_command,
    from_file,
    from_key,
)

NOON = datetime(2026, 3, 1, 12, 0, 0, 750_000, tzinfo=UTC)  # three quarters of a second past noon
KEY = "key-123"
SECRET = "a-secret-of-more-than-thirty-two-bytes"


def value(tokens: Tokens) -> str:
    """Return the token to send now, as it stands in the header."""
    token = tokens.current()
    assert token is not None
    return token.value


def claims(token: str) -> dict[str, Any]:
    """Return what a token claims, once its signature has been checked; its times are not."""
    unchecked = {"verify_exp": False, "verify_iat": False}
    return jwt.decode(token, SECRET, algorithms=["HS256"], options=unchecked)  # type: ignore[arg-type]  # a dict will do


def from_environment(environ: dict[str, str], **options: Any) -> Tokens:
    """Return the tokens that are found."""
    return find("", environ, **options).tokens


def refusal(number: int) -> CredentialsRefused:
    """Return the server's refusal of the token of that number."""
    return CredentialsRefused("token expired", number)


def counted() -> Callable[[timedelta], str]:
    """Return a source whose tokens are `t1`, `t2` and so on."""
    made: list[timedelta] = []

    def make(skew: timedelta) -> str:
        made.append(skew)
        return f"t{len(made)}"

    return make


# ---- minted from a key


def test_a_minted_token_is_what_the_vendor_documents() -> None:
    """HS256, `kid` and `sub` are the key, `iss` is "sdk", and both times are whole seconds."""
    with freeze_time(NOON):
        token = value(from_key(KEY, SECRET))
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT", "kid": KEY}
    noon = int(NOON.timestamp())
    found = claims(token)
    assert found == {"sub": KEY, "iss": "sdk", "iat": noon, "exp": noon + 600}
    assert type(found["iat"]) is type(found["exp"]) is int


def test_the_signature_needs_the_secret() -> None:
    """Another secret does not verify the token, so it is the given one that has signed it."""
    token = value(from_key(KEY, SECRET))
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, SECRET[::-1], algorithms=["HS256"])


def test_a_token_is_kept_until_it_is_nearly_over() -> None:
    """The same token is sent until two minutes before its end, then a new one with a new life."""
    with freeze_time(NOON) as frozen:
        tokens = from_key(KEY, SECRET)
        first = tokens.current()
        frozen.tick(LIFETIME - RENEW_BEFORE)
        assert tokens.current() is first
        frozen.tick(1)
        second = tokens.current()
        assert first is not None
        assert second is not None
        assert (first.number, second.number) == (1, 2)
        assert claims(second.value)["iat"] == claims(first.value)["iat"] + 481


def test_no_token_is_ever_sent_at_the_end_of_its_life() -> None:
    """Asked every second for an hour, there is always a token with nearly two minutes to live."""
    with freeze_time(NOON) as frozen:
        tokens = from_key(KEY, SECRET)
        values = set()
        for _ in range(3600):
            frozen.tick(1)
            token = value(tokens)
            if token not in values:
                values.add(token)
                ends_at = claims(token)["exp"]
            assert ends_at - datetime.now(UTC).timestamp() >= RENEW_BEFORE.total_seconds() - 1
    assert len(values) == 8


@pytest.mark.parametrize("skew", [timedelta(hours=1), timedelta(minutes=-11)])
def test_tokens_are_dated_by_the_servers_clock(skew: timedelta) -> None:
    """An answer's `Date` tells how far this machine's clock is off; the next token is made accordingly."""
    with freeze_time(NOON.replace(microsecond=0)):
        tokens = from_key(KEY, SECRET)
        wrong = claims(value(tokens))
        tokens.observe_date(format_datetime(datetime.now(UTC) + skew, usegmt=True))
        tokens.renew(refusal(1))
        right = claims(value(tokens))
    assert right["iat"] - wrong["iat"] == skew.total_seconds()
    assert right["exp"] - right["iat"] == LIFETIME.total_seconds()


@pytest.mark.parametrize(
    "header", [None, "", "yesterday", "Sun, 99 Mar 2026 12:00:00 GMT", "Sun, 01 Mar 2026 18:00:00 -0000"]
)
def test_an_odd_date_teaches_nothing(header: str | None) -> None:
    """A missing or unreadable `Date`, or one without a zone, leaves what is known of the clock as it was."""
    with freeze_time(NOON.replace(microsecond=0)):
        tokens = from_key(KEY, SECRET)
        tokens.observe_date("Sun, 01 Mar 2026 13:00:00 GMT")
        tokens.observe_date(header)
        assert claims(value(tokens))["iat"] == NOON.timestamp() // 1 + 3600


# ---- read from elsewhere


def test_a_token_file_is_read_again_after_a_refusal(tmp_path: Path) -> None:
    """Somebody renews the file; its new token is used once the old one is refused, and not before."""
    path = tmp_path / "token"
    path.write_text(" first.token\n")
    tokens = from_file(str(path))
    assert value(tokens) == "first.token"
    path.write_text("second.token")
    assert value(tokens) == "first.token"
    tokens.renew(refusal(1))
    assert value(tokens) == "second.token"


def test_a_token_that_is_not_minted_here_has_no_age(tmp_path: Path) -> None:
    """How long a token from a file lives is not known, so only a refusal has it read again."""
    path = tmp_path / "token"
    path.write_text("first.token")
    with freeze_time(NOON) as frozen:
        tokens = from_file(str(path))
        first = tokens.current()
        frozen.tick(timedelta(days=3))
        assert tokens.current() is first


def test_a_missing_token_file_is_named(tmp_path: Path) -> None:
    """The message says which file, why, and what to do."""
    with pytest.raises(
        Refused,
        match=r"Can't read a token from .*nowhere: .*No such file.* Fix the file and run the command again",
    ):
        from_file(str(tmp_path / "nowhere")).current()


@pytest.mark.parametrize(
    "content", [b"", b" \n", b"two words", b"two\nlines", b"tab\there", b"esc\x1b", b"\xff\xfe"]
)
def test_a_file_without_a_token_is_refused_and_not_shown(content: bytes, tmp_path: Path) -> None:
    """What can't stand in a header is refused by the name of the file, never by its content."""
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(Refused) as caught:
        from_file(str(path)).current()
    assert str(path) in str(caught.value)
    assert not any(word in str(caught.value) for word in ("two", "words", "lines", "here", "esc"))


def test_a_token_command_is_asked_again_after_a_refusal(tmp_path: Path) -> None:
    """The command's output is the token; it runs once a token, not once a request."""
    runs = tmp_path / "runs"
    program = (
        f"f = open({str(runs)!r}, 'a+'); f.write('x'); f.seek(0); print('token', len(f.read()), sep='-')"
    )
    tokens = from_command(shlex.join([sys.executable, "-c", program]))
    assert [value(tokens), value(tokens)] == ["token-1", "token-1"]
    tokens.renew(refusal(1))
    assert value(tokens) == "token-2"
    assert runs.read_text() == "xx"


def test_a_token_command_is_not_given_to_a_shell() -> None:
    """Words are split as a shell would, but nothing in them is expanded or run."""
    program = "import sys; print(sys.argv[1])"
    tokens = from_command(f"{shlex.join([sys.executable, '-c', program])} $(id);'a'")
    assert value(tokens) == "$(id);a"


@pytest.mark.parametrize(
    "command",
    [
        shlex.join([sys.executable, "-c", "print('token'); raise SystemExit(3)"]),
        "/nowhere/such-a-command",
        "an 'open quote",
        shlex.join([sys.executable, "-c", "print()"]),
        shlex.join([sys.executable, "-c", "import os; os.write(1, b'\\xff')"]),
    ],
)
def test_a_token_command_that_gives_no_token_is_refused(command: str) -> None:
    """A command that fails, can't be run, or prints nothing usable ends the run, and is not quoted."""
    with pytest.raises(Refused, match="token command") as caught:
        from_command(command).current()
    assert "such-a-command" not in str(caught.value)
    assert "-c" not in str(caught.value), "it may hold a secret, and this goes on record"


# ---- what the environment asks for


BOTH = {"VISUAL_LAYER_API_KEY": KEY, "VISUAL_LAYER_API_SECRET": SECRET}
READY = {"VISUAL_LAYER_TOKEN": "ready.made"}


def test_nothing_set_sends_no_header() -> None:
    """An installation without authentication wants no header at all."""
    assert from_environment({}).current() is None
    assert from_environment(dict.fromkeys([*BOTH, *READY], "")).current() is None


def test_no_auth_sends_no_header_whatever_is_set() -> None:
    """The option wins over everything in the environment."""
    assert from_environment({**BOTH, **READY}, no_auth=True).current() is None


def test_a_token_file_comes_before_the_environment(tmp_path: Path) -> None:
    """An option names a file: key, secret and ready-made token are not looked at."""
    path = tmp_path / "token"
    path.write_text("from.file")
    assert value(from_environment({**BOTH, **READY}, token_file=str(path))) == "from.file"


def test_a_token_command_comes_before_the_environment() -> None:
    """An option names a command: key, secret and ready-made token are not looked at."""
    command = shlex.join([sys.executable, "-c", "print('from.command')"])
    assert value(from_environment({**BOTH, **READY}, token_command=command)) == "from.command"


def test_a_key_comes_before_a_ready_made_token() -> None:
    """Who has a key and a secret is not left with a token that expires."""
    assert claims(value(from_environment({**BOTH, **READY})))["sub"] == KEY


def test_a_ready_made_token_is_sent_as_it_is() -> None:
    """Without a key, the token of the environment is sent, without the line break around it."""
    assert value(from_environment({"VISUAL_LAYER_TOKEN": "ready.made\n"})) == "ready.made"


@pytest.mark.parametrize("missing", BOTH)
@pytest.mark.parametrize("others", [{}, READY], ids=["alone", "beside a token"])
def test_half_a_key_is_refused(missing: str, others: dict[str, str]) -> None:
    """A key without its secret, or the other way round, is a mistake and not passed over."""
    with pytest.raises(
        UsageError, match="Set both VISUAL_LAYER_API_KEY and VISUAL_LAYER_API_SECRET"
    ) as caught:
        from_environment({**BOTH, **others, missing: ""})
    assert SECRET not in str(caught.value)


def test_a_token_file_and_a_token_command_contradict_each_other() -> None:
    """Two origins of one token are refused, by the names of the options."""
    with pytest.raises(
        UsageError, match="Give one of --token-file, --token-command, --credentials-file and --no-auth"
    ):
        from_environment({}, token_file="a", token_command="b")


def test_a_ready_made_token_that_is_none_is_refused_and_not_shown() -> None:
    """A token that can't stand in a header is refused by the name of its variable."""
    with pytest.raises(Refused, match="VISUAL_LAYER_TOKEN gave no token") as caught:
        from_environment({"VISUAL_LAYER_TOKEN": "hunter2 hunter2"})
    assert "hunter2" not in str(caught.value)


# ---- refused tokens


def test_a_refused_token_is_replaced_once() -> None:
    """After the first refusal a new token is made, and sent from then on."""
    tokens = Tokens(counted())
    assert value(tokens) == "t1"
    tokens.renew(refusal(1))
    token = tokens.current()
    assert token is not None
    assert (token.value, token.number, token.after_refusal) == ("t2", 2, True)
    assert tokens.current() is token


def test_a_refusal_of_a_superseded_token_just_tries_again() -> None:
    """Requests that were under way with the old token don't use up the new one."""
    tokens = Tokens(counted())
    tokens.current()
    tokens.renew(refusal(1))
    for _ in range(5):
        tokens.renew(refusal(1))
    assert value(tokens) == "t2"


def test_a_new_token_that_is_refused_too_is_final() -> None:
    """When a token made after a refusal is refused, the credentials are wrong: the run ends."""
    tokens = Tokens(counted())
    tokens.current()
    tokens.renew(refusal(1))
    with pytest.raises(Refused, match="even with a new token: token expired") as caught:
        tokens.renew(refusal(2))
    assert isinstance(caught.value.__cause__, CredentialsRefused)
    assert value(tokens) == "t2"


def test_a_new_token_that_worked_may_be_replaced_later() -> None:
    """In a long run each token ends one day; only one that never worked is a reason to stop."""
    tokens = Tokens(counted())
    tokens.current()
    for number in range(1, 6):
        tokens.renew(refusal(number))
        tokens.accepted(tokens.current())
    assert value(tokens) == "t6"


def test_an_older_token_that_worked_does_not_excuse_the_new_one() -> None:
    """That the first token was good says nothing for the second, made after its refusal."""
    tokens = Tokens(counted())
    tokens.accepted(tokens.current())
    tokens.renew(refusal(1))
    with pytest.raises(Refused):
        tokens.renew(refusal(2))


def test_a_token_renewed_for_its_age_may_be_refused_once() -> None:
    """A token that replaced an old one in time was not made after a refusal, so it has its second chance."""
    with freeze_time(NOON) as frozen:
        tokens = Tokens(counted(), LIFETIME)
        tokens.current()
        tokens.renew(refusal(1))
        frozen.tick(LIFETIME)
        assert value(tokens) == "t3"
        tokens.renew(refusal(3))
        assert value(tokens) == "t4"


def test_a_server_that_wants_credentials_where_there_are_none_is_final() -> None:
    """Without a token nothing can be renewed; the message says which variables to set."""
    tokens = Tokens(None)
    assert tokens.current() is None
    tokens.accepted(None)
    with pytest.raises(Refused, match="Set VISUAL_LAYER_API_KEY and VISUAL_LAYER_API_SECRET"):
        tokens.renew(refusal(0))


def test_many_workers_refused_together_make_one_new_token() -> None:
    """However many requests the same token was refused for, it is replaced once."""
    make = counted()

    def make_slowly(skew: timedelta) -> str:
        time.sleep(0.01)  # leaves the others time to come in between, if they can
        return make(skew)

    tokens = Tokens(make_slowly)
    tokens.current()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(tokens.renew, [refusal(1) for _ in range(64)]))
    assert value(tokens) == "t2"


def test_many_workers_beginning_together_make_one_token() -> None:
    """The first token is made once, however many threads ask for it at the same time."""
    make = counted()

    def make_slowly(skew: timedelta) -> str:
        time.sleep(0.01)  # leaves the others time to come in between, if they can
        return make(skew)

    tokens = Tokens(make_slowly)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: value(tokens), range(8))) == {"t1"}


# ---- secrets


def test_secrets_are_in_no_repr() -> None:
    """What a log or a traceback prints of these objects holds neither secret nor token."""
    tokens = from_key(KEY, SECRET)
    token = tokens.current()
    assert token is not None
    assert repr(token) == str(token) == "Token(number=1)"
    shown = f"{tokens!r} {tokens} {token!r} {[token]} {from_environment(READY)!r} {refusal(1)!r}"
    for secret in (SECRET, token.value, "ready.made"):
        assert secret not in shown


def test_final_refusals_do_not_show_the_token() -> None:
    """The message of a refused token names no part of it."""
    tokens = from_environment(READY)
    tokens.current()
    tokens.renew(refusal(1))
    with pytest.raises(Refused) as caught:
        tokens.renew(refusal(2))
    assert "ready.made" not in str(caught.value) + repr(caught.value)
