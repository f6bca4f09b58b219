"""The files that are imported: what they are, by name and by content, and the source that their content makes.

What belongs here: finding, judging, hashing and opening a file. What does not: its records
(`records`, `readers`).
"""

import gzip
import hashlib
import io
import os
import stat
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, TextIO, cast

from recruitment_platform.errors import InputError

Format = Literal["csv", "jsonl", "parquet"]

SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".jsonl": "jsonl",
    ".jsonl.gz": "jsonl",
    ".ndjson": "jsonl",
    ".ndjson.gz": "jsonl",
    ".json": "jsonl",
    ".json.gz": "jsonl",
    ".parquet": "parquet",
}

_HEAD = 65_536
_CHUNK = 1 << 20
_PARQUET = b"PAR1"
_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
# Share of characters that no text has, beyond which a file is none. Text in another encoding stays well below it.
_MOST_STRANGE = 0.3


@dataclass(frozen=True)
class SourceFile:
    """A file as it was when it was looked at; `source` is `file:<SHA-256 of its content>`, decompressed."""

    path: Path
    format: Format
    compressed: bool
    source: str
    identity: tuple[int, int, int, int] = field(repr=False)

    def check_unchanged(self) -> None:
        """Raises InputError where the file is no longer what was looked at, so that nothing passes for its content."""
        try:
            same = _identity(self.path.stat()) == self.identity
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read any more ({error.strerror})") from error
        if not same:
            raise InputError(f"{self.path}: was changed while it was read; import it again once it is complete")

    def open_text(self, newline: str) -> TextIO:
        """The content as text: UTF-8 with or without a byte order mark, U+FFFD for what is none."""
        return io.TextIOWrapper(self.open_bytes(), encoding="utf-8-sig", errors="replace", newline=newline)

    def open_bytes(self) -> BinaryIO:
        """The content, decompressed."""
        return _open_bytes(self.path, self.compressed)


def look_at(path: Path) -> SourceFile:
    """Finds out what a file is and reads it once for its hash.

    Raises InputError where it is missing, no regular file, empty, unreadable, of a suffix that is not understood, or
    something else than its suffix says.
    """
    kind, compressed = _format_by_suffix(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{path}: is a directory; name the files in it")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path}: is not a regular file; write its content to a file first")
        digest, head = _digest_and_head(path, compressed)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: is not a whole gzip file ({error})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    _judge(path, kind, head)
    return SourceFile(path, kind, compressed, f"file:{digest}", _identity(status))


def _format_by_suffix(path: Path) -> tuple[Format, bool]:
    name = path.name.lower()
    for suffix, kind in SUFFIXES.items():
        if name.endswith(suffix):
            return kind, suffix.endswith(".gz")
    # A folder or a missing file is named as such, whatever its suffix.
    if path.is_dir():
        raise InputError(f"{path}: is a directory; name the files in it")
    if not path.exists():
        raise InputError(f"{path}: there is no such file")
    raise InputError(f"{path}: its kind is not understood; name it with one of {', '.join(SUFFIXES)}")


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _digest_and_head(path: Path, compressed: bool) -> tuple[str, bytes]:
    digest = hashlib.sha256()
    head = b""
    with _open_bytes(path, compressed) as handle:
        while chunk := handle.read(_CHUNK):
            head = head or chunk[:_HEAD]
            digest.update(chunk)
    return digest.hexdigest(), head


def _open_bytes(path: Path, compressed: bool) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if compressed else path.open("rb")


def _judge(path: Path, kind: Format, head: bytes) -> None:
    if not head:
        raise InputError(f"{path}: is empty")
    if kind == "parquet":
        if not head.startswith(_PARQUET):
            raise InputError(f"{path}: is not a Parquet file")
        return
    if head.startswith(_PARQUET):
        raise InputError(f"{path}: is a Parquet file; give it the suffix .parquet")
    if head.startswith(_GZIP):
        raise InputError(f"{path}: is compressed with gzip; give it the suffix .{kind}.gz")
    if head.startswith(b"PK\x03\x04"):
        raise InputError(f"{path}: is a ZIP archive or a spreadsheet; export its rows as CSV")
    if head.startswith(_UTF16):
        raise InputError(f"{path}: is UTF-16 text; save it as UTF-8")
    if b"\0" in head or _strangeness(head) > _MOST_STRANGE:
        raise InputError(f"{path}: is a binary file, not text")
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if not first:
        raise InputError(f"{path}: has nothing but blank lines")
    if kind == "csv" and first == b"{":
        raise InputError(f"{path}: looks like JSON lines; give it the suffix .jsonl")
    if kind == "jsonl" and first == b"[":
        raise InputError(f"{path}: is a JSON array; write one object a line")


def _strangeness(head: bytes) -> float:
    text = head.decode("utf-8", errors="replace")
    strange = text.count("\N{REPLACEMENT CHARACTER}") + sum(letter < " " and letter not in "\t\r\n" for letter in text)
    return strange / len(text)
