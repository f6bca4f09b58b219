"""A platform on servers, as the command line sees it: its environment, its home, its commands.

What belongs here: putting servers' addresses together, calling commands, reading what they say. What does not: starting
servers (`servers_fixtures`, `redshift_gate`), and what must hold (the tests).
"""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from recruitment_platform.servers.server import Server
from recruitment_platform_tests.cli.command_line import Outcome, call

YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
DAYS = 2
BETWEEN = ("--from", str(YESTERDAY - timedelta(days=DAYS - 1)), "--to", str(YESTERDAY))
EVENTS_PER_DAY = 3_000
TRAFFIC = (*BETWEEN, "--events-per-day", str(EVENTS_PER_DAY), "--faults", "all", "--seed", "11")
LEDGER = "select dates, digest, rows_loaded, clicks, spend from load_ledger order by dates, manifest"


@dataclass(frozen=True)
class Platform:
    """A home and the settings of its environment."""

    home: Path
    settings: Mapping[str, str]

    def call(self, *arguments: str, **settings: str) -> Outcome:
        """Runs a command in a process of its own."""
        return call(self.home, *arguments, **{**self.settings, **settings})

    def succeed(self, *arguments: str, **settings: str) -> str:
        """Runs a command that must succeed; what it wrote to stdout."""
        outcome = self.call(*arguments, **settings)
        assert outcome.code == 0, f"{arguments} ended with {outcome.code}:\n{outcome.out}\n{outcome.err}"
        return outcome.out

    @property
    def secrets(self) -> set[str]:
        """What must stand nowhere."""
        return {value for name, value in self.settings.items() if name.endswith(("_PASSWORD", "_SECRET_KEY"))}

    def ledger(self) -> list[dict[str, str]]:
        """The warehouse's ledger, by day."""
        return list(csv.DictReader(io.StringIO(self.succeed("query", "--format", "csv", LEDGER), newline="")))

    def truths(self) -> list[str]:
        """What `status` says of each day's truth."""
        lines = self.succeed("status", *BETWEEN).split("\n\n")[0].splitlines()[2:]
        return ["matched" if "matched" in line else line for line in lines]


def embedded(home: Path) -> Platform:
    """A platform without servers, on DuckDB."""
    return Platform(home, {"RECRUITMENT_ENGINE": "duckdb"})


def on_servers(home: Path, servers: Iterable[Server], *addresses: BaseSettings, **names: str) -> Platform:
    """A platform on these servers and at these addresses, on DuckDB.

    `names` are further settings without their prefix, as `cassandra_keyspace`.
    """
    settings = {"RECRUITMENT_ENGINE": "duckdb", "RECRUITMENT_PROFILE": "servers"}
    for server in servers:
        settings |= server.environment()
    for address in addresses:
        settings |= variables(address)
    settings |= {f"RECRUITMENT_{name.upper()}": value for name, value in names.items()}
    return Platform(home, settings)


def variables(address: BaseSettings) -> dict[str, str]:
    """The environment variables by which a process finds the address."""
    found = {}
    for name in type(address).model_fields:
        value = getattr(address, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if value is not None:
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            found[f"{address.model_config['env_prefix']}{name.upper()}"] = text
    return found


def some_day() -> date:
    """The first of the days that are simulated."""
    return YESTERDAY - timedelta(days=DAYS - 1)
