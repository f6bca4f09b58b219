"""What `pip install .` brings, and what it needs."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_wheel_ships_every_file_of_the_package_and_no_tests(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "recruitment_platform", tree / "recruitment_platform", ignore=ignored)
    (tree / "recruitment_platform_tests").mkdir()
    (tree / "recruitment_platform_tests" / "__init__.py").touch()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        str(tmp_path),
    ]
    subprocess.run([*build, str(tree)], check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = (path for path in (ROOT / "recruitment_platform").rglob("*") if path.is_file())
    assert shipped == {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}


def test_everything_that_is_needed_is_pinned_and_nothing_has_an_address() -> None:
    needed = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
    names = {canonical(re.split(r"[\[<>=!~ ]", requirement)[0]) for requirement in needed}
    assert names <= {canonical(name) for name in PINS}
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in PINS)
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in PINS.values())


def test_what_is_installed_here_is_what_is_pinned() -> None:
    frozen = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format", "freeze"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    installed = dict(line.split("==") for line in frozen.stdout.splitlines() if "==" in line)
    found = {canonical(name): version for name, version in installed.items()}
    wanted = {canonical(name): version for name, version in PINS.items()}
    assert {name: version for name, version in found.items() if wanted.get(name, version) != version} == {}


def test_make_says_what_is_missing_where_there_is_no_python(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    tried = subprocess.run(
        ["make", "PYTHON=python-that-is-not-there", "demo"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert tried.returncode != 0
    assert "Python 3.11, 3.12 or 3.13" in tried.stderr
    assert "python3-venv" in tried.stderr
