"""No credentials in what is written for somebody to read later, whatever a message holds."""

import json
import os
import re
from functools import cache

from vl_ingest.server import variables

HIDDEN = "***"

_LONG_ENOUGH = 6  # shorter ones would hide half of the text
_SHAPES = re.compile(
    r"eyJ[\w-]+\.[\w-]+\.[\w-]*"  # a JSON Web Token
    r"|(?<=Bearer )[^\s\"',\\]+"
    r"|(?<=Signature=)[^\s\"'&]+"  # of an address that an object store has signed
    r"|(?<=://)[^\s/@\"']+(?=@)"  # user and password of a URL
)


def redact(text: str) -> str:
    """Return `text` with everything hidden that is a credential, or looks like one."""
    for secret in _secrets(tuple(os.environ.get(name, "") for name in variables.SECRETS)):
        text = text.replace(secret, HIDDEN)
    return _SHAPES.sub(HIDDEN, text)


@cache
def _secrets(values: tuple[str, ...]) -> tuple[str, ...]:
    secrets = {value for value in values if len(value) >= _LONG_ENOUGH}
    escaped = {json.dumps(value)[1:-1] for value in secrets}  # as they stand in a line of JSON
    return tuple(sorted(secrets | escaped, key=len, reverse=True))
