"""Dagster's instance of a home: its folder, its settings, and runs whose process is gone.

What belongs here: Dagster's own storage. What does not: what runs in it (`jobs`, `run`).
https://docs.dagster.io/deployment/oss/oss-instance-configuration
"""

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

import dagster as dg
import sqlalchemy.exc

from recruitment_platform.assets.catalog import POOLS
from recruitment_platform.assets.steps import ATTENDED_TAG
from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.settings import Settings

PROCESSES = "processes"
"""Folder of an instance's home: files of which each is held locked by a process for as long as that lives."""

PROCESS_TAG = ".dagster/recruitment_process"
"""Tag of a run: the name of the file in that folder that its process holds. By its prefix the page does not show it."""

_UNTIL_THE_END = ExitStack()
"""Closed by nobody: what it holds, the process lets go when it ends, however it ends."""

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
        fail_abandoned_runs(instance, settings)
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
    """The tag for runs of the command line, which by it can be told from runs whose process is gone."""
    folder = _processes(_configured_home(settings))
    with _reported(settings.dagster_home), ExitStack() as stack:
        name = _hold(folder, stack)
        try:
            yield {ATTENDED_TAG: "true", PROCESS_TAG: name}
        finally:
            (folder / name).unlink(missing_ok=True)


def tag_with_process(instance: dg.DagsterInstance, run_id: str) -> None:
    """Tags a run of the daemon with the process that it runs in, this one, until that ends."""
    instance.add_run_tags(run_id, {PROCESS_TAG: _this_process(Path(instance.root_directory) / PROCESSES)})


def abandoned_runs(instance: dg.DagsterInstance, settings: Settings) -> list[dg.DagsterRun]:
    """Runs that look as if they were under way, and whose process is gone."""
    folder = _processes(settings.dagster_home)
    return [
        run
        for run in instance.get_runs(dg.RunsFilter(statuses=list(_OPEN)))
        if _has_process(instance, run) and not _is_held(folder / run.tags[PROCESS_TAG])
    ]


def fail_abandoned_runs(instance: dg.DagsterInstance, settings: Settings) -> list[str]:
    """Fails runs whose process is gone, so that their days are free again; returns their ids.

    Dagster's own run monitoring cannot tell, where the code server that had started them is gone too.
    """
    abandoned = abandoned_runs(instance, settings)
    for run in abandoned:
        instance.report_run_failed(run, "the process of this run is gone: materialize its days again")
    for path in _processes(settings.dagster_home).glob("[!.]*"):
        if not _is_held(path):
            path.unlink(missing_ok=True)
    return [run.run_id for run in abandoned]


def _has_process(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the run's tag is its own: one that is run again has that of the former run, until it has begun."""
    if PROCESS_TAG not in run.tags:
        return False
    parent = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    return parent is None or parent.tags.get(PROCESS_TAG) != run.tags[PROCESS_TAG]


@cache
def _this_process(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    return _hold(folder, _UNTIL_THE_END)


def _hold(folder: Path, stack: ExitStack) -> str:
    """Makes a file that is locked until the stack is closed, and seen by nobody before it is; returns its name."""
    name = uuid4().hex
    hidden = folder / f".{name}"
    fcntl.flock(stack.enter_context(hidden.open("w")), fcntl.LOCK_EX)
    hidden.rename(folder / name)
    return name


def _is_held(path: Path) -> bool:
    with suppress(FileNotFoundError), path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _processes(home: Path) -> Path:
    return home / PROCESSES


@contextmanager
def _reported(home: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlalchemy.exc.OperationalError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error.orig)
        raise StoreUnavailableError(
            f"Dagster's storage {home} cannot be used: {reason or error}. Make room or make it writable, then try again"
        ) from error
