"""Compiled loops run wherever the platform is installed, also where nothing can be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import recruitment_platform

STATEMENT = """
import sys
sys.path.insert(0, sys.argv[1])
from copied_loop import twice
print(twice(21))
"""
LOOP = """
from recruitment_platform.compiled import compiled


@compiled
def twice(number):
    return 2 * number
"""


@pytest.mark.parametrize("is_writable", [True, False])
def test_what_is_compiled_is_kept_where_it_can_be(tmp_path: Path, is_writable: bool) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "copied_loop.py").write_text(LOOP)
    home = tmp_path / "home"
    if is_writable:
        home.mkdir()
    else:
        # Files where folders are wanted: so that not even root can make them.
        home.write_text("")
        (folder / "__pycache__").write_text("")
    ran = subprocess.run(
        [sys.executable, "-B", "-c", STATEMENT, str(folder)],
        env={"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "PATH": os.environ["PATH"]},
        cwd=Path(recruitment_platform.__file__).parent.parent,
        capture_output=True,
        text=True,
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("42\n", "", 0)
    assert any(folder.glob("__pycache__/*.nbi")) == is_writable
