"""What the tests of servers share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_folder(servers_folder: Path) -> Iterator[Path]:
    """An empty folder for servers' data, that any user may enter."""
    folder = Path(tempfile.mkdtemp(dir=servers_folder))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
