"""The README's worked example, run as it stands there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from recruitment_platform_tests.cli.command_line import environment
from recruitment_platform_tests.readme import README

COMMAND = ".venv/bin/recruitment-platform"
SECONDS = 120


def example() -> list[tuple[str, list[str]]]:
    """Each command line of the README's consoles, and the lines that it shows below."""
    found: list[tuple[str, list[str]]] = []
    for console in re.findall(r"^```console\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        for line in console.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return found


def matches(shown: str, line: str) -> bool:
    """Whether the line is what is shown: `…` stands for anything, and columns may be wider."""
    parts = (r"\s+".join(map(re.escape, part.split(" "))) for part in re.sub(r" +", " ", shown).split("…"))
    return re.fullmatch(".*".join(parts), line) is not None


def test_the_worked_example_comes_out_as_it_is_shown(tmp_path: Path) -> None:
    shutil.copytree(README.parent / "docs" / "example", tmp_path / "docs" / "example")
    program = tmp_path / COMMAND
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m recruitment_platform.cli "$@"\n')
    program.chmod(0o755)
    settings = environment(tmp_path / "home", {"RECRUITMENT_ENGINE": "duckdb", "PYTHONPATH": str(README.parent)})
    steps = example()
    assert len(steps) >= 10
    for command, shown in steps:
        if command.startswith("export "):
            continue
        done = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env=settings,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        lines = iter([*done.stderr.splitlines(), *done.stdout.splitlines()])
        for expected in (line for line in shown if "──" not in line):
            assert any(matches(expected, line) for line in lines), (command, expected, done.stdout, done.stderr)
