"""What a file is by its first bytes, whatever its name says.

Sources: JFIF and PNG specifications, RIFF container of WebP, ISO/IEC 14496-12 (`ftyp`), QuickTime File Format.
"""

import os

FIRST_BYTES = 32  # of a file, as many as `kind` looks at

MEDIA = "MP4/MOV"
_EXPECTED = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WebP", ".mp4": MEDIA, ".mov": MEDIA,
}  # fmt: skip
_BEGINNINGS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"%PDF": "PDF",
    b"PK\x03\x04": "ZIP",
    b"\x1f\x8b": "gzip",
    b"\x1aE\xdf\xa3": "Matroska/WebM",
}
_STILL = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"}  # brands of pictures
_ATOMS = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}  # QuickTime's from before `ftyp`


def kind(first: bytes) -> str | None:
    """Return what begins with these bytes, in the name of its format; None if that is not known."""
    if first[:4] == b"RIFF":
        return "WebP" if first[8:12] == b"WEBP" else "RIFF"
    if first[4:8] == b"ftyp":
        return "HEIF/AVIF" if first[8:12] in _STILL else MEDIA
    if first[4:8] in _ATOMS:
        return MEDIA
    return next((name for begin, name in _BEGINNINGS.items() if first.startswith(begin)), None)


def mismatch(path: str, first: bytes) -> str | None:
    """Return in words how a file's first bytes contradict its extension; None if they do not.

    An extension beyond the documented formats promises nothing.
    """
    expected = _EXPECTED.get(os.path.splitext(path)[1].lower())
    found = kind(first)
    if expected is None or found == expected:
        return None
    if not first.strip(b"\0"):
        return f"begins with nothing but zeros, not as {expected}"
    return f"begins as {found}, not as {expected}" if found else f"does not begin as {expected}"
