"""What was computed before, on disk, each under a digest of all that it depends on.

A file that is missing, damaged or cannot be written costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cache import cache_home

_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class Kept:
    """Files of one kind.

    Attributes:
        prefix: what their names begin with.
        suffix: what they end with.
        most: how many are kept; those used longest ago go first.

    """

    prefix: str
    suffix: str
    most: int

    def path(self, what: Mapping[str, Any]) -> Path:
        """Return the file of a content; ``what`` is all that it depends on, as JSON can hold it."""
        text = json.dumps(what, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        return cache_home() / f"{self.prefix}{digest}{self.suffix}"

    def read(self, path: Path) -> bytes | None:
        """Return what was written, None if there is nothing or it is damaged."""
        try:
            data = path.read_bytes()
        except OSError:
            return None
        content = data[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != data[:_DIGEST_BYTES]:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return content

    def write(self, path: Path, content: bytes) -> None:
        """Write it, whole or not at all, if that is possible; drop what was used longest ago."""
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(
                dir=path.parent, prefix=f"{path.stem}-", suffix=".part"
            )
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(hashlib.sha256(content).digest() + content)
                Path(name).replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
            self._tidy(path.parent)

    def _tidy(self, folder: Path) -> None:
        with contextlib.suppress(OSError):  # another process may be tidying up as well
            files = folder.glob(f"{self.prefix}*{self.suffix}")
            latest_last = sorted(files, key=lambda file: file.stat().st_mtime)
            for file in latest_last[: max(0, len(latest_last) - self.most)]:
                file.unlink()
