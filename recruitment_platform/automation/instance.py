"""Dagster's instance of a home: its folder, its settings, and runs whose process is gone.

What belongs here: Dagster's own storage. What does not: what runs in it (`jobs`, `run`).
https://docs.dagster.io/deployment/oss/oss-instance-configuration
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

import dagster as dg
import sqlalchemy.exc

from recruitment_platform.assets.catalog import POOLS
from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.settings import Settings

PROCESS_TAG = "recruitment/process"
"""Tag of a run of the command line: the name of the file that its process holds locked for as long as it lives."""

_OPEN = (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)


def prepare_dagster_home(settings: Settings) -> Path:
    """Prepares the home's instance for Dagster's own programs as `open_instance` does; returns its folder."""
    with open_instance(settings):
        return settings.dagster_home


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The home's instance, made where it is absent, with `dagster.yaml` unless it has one.

    Runs whose process is gone are failed first: they would hold up those that wait for them. StoreUnavailableError
    where its storage cannot be read or written, at the beginning or later.
    """
    home = _configured_home(settings)
    with _reported(home), dg.DagsterInstance.from_config(str(home)) as instance:
        # The daemon does this itself for pools it meets, but starts all runs that it meets together with them.
        for pool in POOLS:
            instance.event_log_storage.initialize_concurrency_limit_to_default(pool)
        _fail_abandoned_runs(instance, settings)
        yield instance


@contextmanager
def seen_instance(settings: Settings) -> Iterator[dg.DagsterInstance | None]:
    """The home's instance for who only looks: nothing is made, and no run failed; None where the home has none yet."""
    home = settings.dagster_home
    if not (home / "dagster.yaml").exists():
        yield None
        return
    with _reported(home), dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def _configured_home(settings: Settings) -> Path:
    home = settings.dagster_home
    config = home / "dagster.yaml"
    with _reported(home):
        _processes(home).mkdir(parents=True, exist_ok=True)
        if not config.exists():
            aside = config.with_name(f"{uuid4().hex}.yaml")
            aside.write_bytes(files("recruitment_platform.automation").joinpath("dagster.yaml").read_bytes())
            aside.replace(config)
    return home


@contextmanager
def process_tag(settings: Settings) -> Iterator[dict[str, str]]:
    """The tag for runs of this process, which by it can be told from runs whose process is gone."""
    name = uuid4().hex
    path = _processes(_configured_home(settings)) / name
    with _reported(settings.dagster_home), path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield {PROCESS_TAG: name}
        finally:
            path.unlink(missing_ok=True)


def abandoned_runs(instance: dg.DagsterInstance, settings: Settings) -> list[dg.DagsterRun]:
    """Runs that look as if they were under way, and whose process is gone."""
    folder = _processes(settings.dagster_home)
    return [
        run
        for run in instance.get_runs(dg.RunsFilter(statuses=list(_OPEN)))
        if PROCESS_TAG in run.tags and not _is_alive(folder / run.tags[PROCESS_TAG])
    ]


def _fail_abandoned_runs(instance: dg.DagsterInstance, settings: Settings) -> None:
    for run in abandoned_runs(instance, settings):
        instance.report_run_failed(run, "the process of this run is gone: materialize its days again")
        (_processes(settings.dagster_home) / run.tags[PROCESS_TAG]).unlink(missing_ok=True)


def _is_alive(path: Path) -> bool:
    with suppress(FileNotFoundError), path.open("r+") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _processes(home: Path) -> Path:
    return home / "processes"


@contextmanager
def _reported(home: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlalchemy.exc.OperationalError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error.orig)
        raise StoreUnavailableError(
            f"Dagster's storage {home} cannot be used: {reason or error}. Make room or make it writable, then try again"
        ) from error
