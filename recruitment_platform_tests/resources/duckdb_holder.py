"""Another program that has the warehouse's file open, in a module of its own so that it starts quickly."""

from pathlib import Path
from typing import Any

import duckdb


def hold(path: Path, read_only: bool, held: Any, release: Any, seconds: float) -> None:
    """What an analyst's own program does: opens the file and keeps it open, for that long at most."""
    with duckdb.connect(path, read_only=read_only):
        held.set()
        release.wait(seconds)
