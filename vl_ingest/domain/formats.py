"""The formats that are sent: by a file's name, and by its first bytes, whatever its name says.

Sources: the vendor's own upload example (extensions and media types); JFIF and PNG specifications, RIFF container of
WebP, ISO/IEC 14496-12 (`ftyp`), QuickTime File Format.
"""

from collections.abc import Mapping

MEDIA_TYPES: Mapping[str, str] = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
}
# Those of the vendor's FAQ, too: what is sent with `--include` may be one of them.
VIDEOS = (".mp4", ".mov", ".avi", ".dav", ".m4v", ".mkv", ".wmv", ".flv", ".webm")
FIRST_BYTES = 32  # of a file, as many as `kind` looks at

MEDIA = "MP4/MOV"
_BY_TYPE = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WebP",
    "video/mp4": MEDIA,
    "video/quicktime": MEDIA,
}
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


def extension(path: str) -> str:
    """Return the extension in lower case, with its dot; empty if there is none."""
    name = path[path.rfind("/") + 1 :]  # as `os.path.splitext` does, in a fraction of its time
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 and name[:dot].strip(".") else ""


def media_type(name: str) -> str:
    """Return the media type that a name stands for."""
    return MEDIA_TYPES.get(extension(name), "application/octet-stream")


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
    expected = _BY_TYPE.get(media_type(path))
    found = kind(first)
    if expected is None or found == expected:
        return None
    if not first.strip(b"\0"):
        return f"begins with nothing but zeros, not as {expected}"
    return f"begins as {found}, not as {expected}" if found else f"does not begin as {expected}"
