"""Files of a record: typed errors, writing at once, hashing."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path


class RecordError(Exception):
    """A record cannot be written or read; the message is one line: what, where, how to mend."""


class DamagedError(RecordError):
    """A record is not as it was written; a line each says what."""


class MissingColumnError(RecordError, KeyError):
    """A stream, or a column of one, is not in the record."""

    def __str__(self) -> str:
        return str(self.args[0])


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn errors of the operating system into a `RecordError` of one clear line."""
    try:
        yield
    except OSError as error:
        raise RecordError(
            f"cannot write {place}: {first_line(error)}; free space or choose another folder"
        ) from error


def replace_text(path: Path, text: str) -> None:
    """Write a text file at once: a killed process leaves the old or the new one.

    Raises:
        RecordError: the disk refuses.

    """
    with writing(path):
        write_at_once(path, text + "\n")


def write_at_once(path: Path, text: str) -> None:
    """Write a text file under another name first: neither a kill nor a full disk leaves a half.

    Raises:
        OSError: the disk refuses.

    """
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def first_line(error: BaseException) -> str:
    """Return an error's message on one line, or its type if it has none."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def hash_files(paths: Sequence[Path], root: Path) -> str:
    """Return the SHA-256 over names (relative to ``root``), sizes and bytes of files, in order.

    Raises:
        RecordError: a file cannot be read.

    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise RecordError(f"cannot read {path}: {first_line(error)}") from error
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
