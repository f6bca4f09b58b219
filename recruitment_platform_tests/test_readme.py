"""The README says what is so."""

import re
import shlex

import click

from recruitment_platform.cli import cli
from recruitment_platform_tests.readme import README, named, tables, updated

TEXT = README.read_text(encoding="utf-8")


def test_its_tables_are_those_of_the_contract_the_settings_and_the_command_line() -> None:
    assert updated(TEXT) == TEXT, "run: python -m recruitment_platform_tests.readme"
    assert named(TEXT) == set(tables())


def test_the_commands_that_it_shows_are_understood() -> None:
    shown = re.findall(r"^\$ \.venv/bin/recruitment-platform (.+)$", TEXT, re.MULTILINE)
    assert len(shown) >= 6
    for line in shown:
        words = shlex.split(line.partition(" > ")[0])
        context = click.Context(cli)
        command = cli.get_command(context, words[0])  # type: ignore[attr-defined]
        if isinstance(command, click.Group):
            command = command.get_command(context, words[1])
        assert command is not None, line
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_every_make_target_it_names_exists() -> None:
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([a-z]+)`", TEXT) + re.findall(r"^make ([a-z]+)$", TEXT, re.MULTILINE):
        assert f"\n{target}:" in makefile, target


def test_its_pictures_are_small_and_all_are_shown() -> None:
    pictures = list((README.parent / "docs" / "images").glob("*.png"))
    assert {f"docs/images/{picture.name}" for picture in pictures} == set(re.findall(r"docs/images/\w+\.png", TEXT))
    sizes = [picture.stat().st_size for picture in pictures]
    assert max(sizes) <= 150_000
    assert sum(sizes) < 1_200_000


def test_the_files_it_links_exist() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (README.parent / link).exists(), link
