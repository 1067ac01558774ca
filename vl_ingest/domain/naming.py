"""Names: paths as reversible text for the ledger, and the name a file is sent under.

What stands in the field's `filename` follows the way browsers write it (WHATWG HTML, "multipart/form-data
encoding algorithm": raw UTF-8; `"`, CR and LF percent-escaped). Beyond that, a backslash, other control
characters and bytes that are not UTF-8 are percent-escaped too: servers' parsers disagree about the first
two, and the last can't be written at all.
"""

import os
import re
from collections.abc import Iterator

NAME_LENGTH = 255  # some servers cut a longer name, and with it what makes it unique

_ESCAPED = re.compile(rb"\\(\\|x[0-9a-f]{2})")
_UNSENDABLE = re.compile(rb'[\x00-\x1f\x7f"\\]')


def path_to_text(path: str) -> str:
    r"""Return `path` as valid text: `\\` for a backslash, `\xNN` for a byte that is not UTF-8."""
    if path.isascii() and "\\" not in path:
        return path
    return path.replace("\\", "\\\\").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def path_from_text(text: str) -> str:
    """Return the path that `path_to_text` made `text` from."""
    if "\\" not in text:
        return text
    raw = _ESCAPED.sub(
        lambda match: b"\\" if match[1] == b"\\" else bytes([int(match[1][1:], 16)]), text.encode("utf-8")
    )
    return raw.decode("utf-8", "surrogateescape")


def wire_name(base_name: str) -> str:
    """Return `base_name` as it is written inside `filename="..."`; valid UTF-8, one line, no quote."""
    if base_name.isascii() and base_name.isprintable() and '"' not in base_name and "\\" not in base_name:
        return base_name  # nearly always
    raw = os.fsencode(base_name)
    escaped = _UNSENDABLE.sub(lambda match: b"%%%02X" % match[0][0], raw)
    return "".join(
        f"%{ord(char) - 0xDC00:02X}" if "\udc80" <= char <= "\udcff" else char
        for char in escaped.decode("utf-8", "surrogateescape")
    )


def plain_name(path: str) -> str:
    """Return the name that `path` is sent under if nothing else is: its base name, as written on the wire."""
    return wire_name(path[path.rfind("/") + 1 :])


def candidate_names(path: str, version: int = 1) -> Iterator[str]:
    """Yield the names a version of `path` may be sent under, best first; all are functions of these two alone.

    The plain base name (`photo-v2.jpg` for the second version), then the base name with more and more of a hash of both
    before the extension (`photo-1f0a9c3e.jpg`), so that equal base names in different folders stay apart.
    """
    name, later = plain_name(path), version > 1
    if not later:
        yield name
    import hashlib  # most files keep their name, and most commands send none

    stem, extension = os.path.splitext(name)
    hashed = f"{path}\0{version}" if later else path  # no path has this byte
    digest = hashlib.sha256(hashed.encode("utf-8", "surrogateescape")).hexdigest()
    for mark in (*([f"v{version}"] if later else ()), *(digest[:length] for length in (8, 16, 64))):
        ending = f"-{mark}{extension}"
        yield stem[: NAME_LENGTH - len(ending)] + ending


def files_text(count: int) -> str:
    """Return `1 file`, `2,000 files`."""
    return "1 file" if count == 1 else f"{count:,} files"
