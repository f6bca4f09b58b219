"""A home for the command line, and the command line within the test's process."""

import os
from pathlib import Path

import pytest

from recruitment_platform.cli import main
from recruitment_platform_tests.cli.command_line import Call, Outcome


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; no other setting is set."""
    for name in os.environ:
        if name.startswith("RECRUITMENT_"):
            monkeypatch.delenv(name)
    path = tmp_path / "home"
    monkeypatch.setenv("RECRUITMENT_HOME", str(path))
    return path


@pytest.fixture
def within(home: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command within the test's process."""

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        code = main(arguments)
        written = capsys.readouterr()
        return Outcome(code, written.out, written.err)

    return run
