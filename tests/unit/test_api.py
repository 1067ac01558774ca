"""What answers mean, read without a server where it is a decision on values."""

import pytest
from freezegun import freeze_time

from vl_ingest.domain import errors
from vl_ingest.server import answers
from vl_ingest.server.answers import Answer, classify
from vl_ingest.server.tokens import Token


@pytest.mark.parametrize(
    ("status", "receipt", "expected"),
    [
        (202, 202, None),
        (200, 202, errors.Undocumented),
        (204, 202, errors.Undocumented),
        (307, 202, errors.Redirected),
        (400, 202, errors.BadRequest),
        (401, 202, errors.CredentialsRefused),
        (403, 202, errors.Denied),
        (404, 200, errors.Denied),
        (409, 202, errors.Conflict),
        (413, 202, errors.TooLarge),
        (418, 202, errors.OutcomeUnknown),
        (422, 200, errors.Denied),
        (429, 202, errors.Throttled),
        (500, 202, errors.OutcomeUnknown),
        (503, 202, errors.OutcomeUnknown),
    ],
)
def test_each_status_has_its_class(status: int, receipt: int, expected: type[Exception] | None) -> None:
    """Only the documented status is a receipt; every other has the class of the table."""
    error = classify(Answer(status, content=b"{}"), receipt, None)
    assert type(error) is (type(None) if expected is None else expected)


def test_credentials_that_the_server_repeats_are_taken_out() -> None:
    """However its JSON writes them; an answer that is cut to its first words shows no half of one either."""
    token = Token("opaque+Token/with=signs", 1, after_refusal=False)
    body = b'{"detail": "' + b"x" * 285 + b' opaque\\u002BToken\\/with\\u003dsigns is refused"}'
    error = classify(Answer(403, content=body), 202, token)
    assert error is not None
    assert "opaque" not in str(error)


@pytest.mark.parametrize("page", [b"<html><body>Sign in</body></html>", b"  <!DOCTYPE html><p>Wait"])
def test_a_page_of_html_is_no_receipt(page: bytes) -> None:
    """The right status on a proxy's page proves nothing, and its words are shown without tags."""
    error = classify(Answer(202, content=page), 202, None)
    assert isinstance(error, errors.OutcomeUnknown)
    assert "<" not in error.detail


def test_a_page_of_html_blames_no_file() -> None:
    """A proxy's 400 leaves the outcome unknown; its 413 is how a limit of the size is learnt."""
    page = b"<html><title>400 Bad Request</title></html>"
    unknown = classify(Answer(400, content=page), 202, None)
    assert isinstance(unknown, errors.OutcomeUnknown)
    assert unknown.http_status == 400
    assert isinstance(classify(Answer(413, content=page), 202, None), errors.TooLarge)


def test_a_cut_receipt_is_no_receipt() -> None:
    """An answer that did not arrive whole leaves the outcome unknown; a cut refusal is a refusal."""
    assert isinstance(classify(Answer(202, whole=False), 202, None), errors.OutcomeUnknown)
    assert isinstance(classify(Answer(413, whole=False), 202, None), errors.TooLarge)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"detail": "no such dataset"}', "no such dataset"),
        (b'{"detail": [{"loc": ["body", "files"], "msg": "field required"}]}', "body.files: field required"),
        (b"<html><style>p {}</style><h1>Bad  Gateway</h1></html>", "Bad Gateway"),
        (b'{"status": "error", "message": "on premises"}', "on premises"),
        (b"", "no words"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"[1]", "[1]"),
        (b'{"detail": {"code": 7}}', '{"code": 7}'),
        (b'{"detail": [{"loc": 3, "msg": "odd"}, null]}', '{"loc": 3, "msg": "odd"}; null'),
        (b'{"detail": "half \\ud83d"}', "half ?"),
    ],
)
def test_the_servers_words_become_one_line(content: bytes, expected: str) -> None:
    """`detail` in all its forms, or the first words of whatever else came."""
    assert answers.words(Answer(400, content=content)) == expected


@pytest.mark.parametrize("charset", ["utf8mb4", "hex", "", "none"])
def test_a_charset_that_nobody_knows_spoils_no_answer(charset: str) -> None:
    """What an answer calls its encoding changes neither a receipt nor the words of a refusal."""
    answer = Answer(202, "", f"application/json; charset={charset}", content='{"detail": "Größe"}'.encode())
    assert classify(answer, 202, None) is None
    assert answers.words(answer) == "Größe"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("99999999999", answers.LONGEST_PAUSE_S),
        ("soon", None),
        ("-5", None),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999999999999", None),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, expected: float | None) -> None:
    """Seconds or a date; nonsense is no wish at all, and nobody waits for ever."""
    with freeze_time("2026-11-23 12:00:00"):
        assert answers.retry_after_s(header) == expected
