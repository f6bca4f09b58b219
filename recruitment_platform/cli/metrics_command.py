"""`metrics`: the platform's own figures, for Prometheus."""

import time
from functools import partial

import click
from prometheus_client import generate_latest

from recruitment_platform.automation.exporter import (
    DAYS,
    METRICS,
    PAGE,
    Opened,
    PlatformCollector,
    registry_of,
    serving,
)
from recruitment_platform.cli import output
from recruitment_platform.cli.ingest_command import stopped_by_signals
from recruitment_platform.cli.progress import note
from recruitment_platform.cli.stores import check_home
from recruitment_platform.errors import InputError, StoreUnavailableError
from recruitment_platform.resources.protocols import EventLake
from recruitment_platform.resources.stores import open_event_lake, open_object_store, open_warehouse
from recruitment_platform.settings import Settings

HOST = "127.0.0.1"
PORT = 9464
ONCE_PATIENCE = 60.0
"""Seconds that a store is given where no Prometheus waits."""

METRICS_HELP = "\b\nMetrics:\n" + "\n".join(
    f"  {metric.name}{{{', '.join(metric.labels)}}}" if metric.labels else f"  {metric.name}" for metric in METRICS
)


@click.command("metrics", epilog=METRICS_HELP)
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True, help="Port of the page.")
@click.option("--host", default=HOST, show_default=True, help="Address of this machine to listen on.")
@click.option(
    "--days",
    type=click.IntRange(min=1),
    default=DAYS,
    show_default=True,
    help="How many of the last days have figures of their own.",
)
@click.option("--once", is_flag=True, help="Write the page to stdout once, and end.")
def command(port: int, host: str, days: int, once: bool) -> None:
    """Serves figures of what the stores hold: lag by day, events, rejected rows, states of days, loads, spend.

    They are counted when Prometheus asks, by one look at each store, and never by a scan of events. A store that is
    away is told as recruitment_store_up 0, and leaves the other figures alone. The page needs no password: listen
    where only Prometheus can reach it. Runs until Ctrl-C.

    \b
    Examples:
      recruitment-platform metrics
      recruitment-platform metrics --once | grep recruitment_day_lag_seconds
    """
    settings = Settings.from_environment()
    check_home(settings)
    opened = Opened(
        lake=partial(_lake, settings),
        objects=partial(open_object_store, settings),
        warehouse=partial(open_warehouse, settings),
    )
    if once:
        registry = registry_of(PlatformCollector(settings, opened, days, patience=ONCE_PATIENCE))
        output.stdout().write(generate_latest(registry).decode())
        return
    registry = registry_of(PlatformCollector(settings, opened, days))
    with stopped_by_signals() as stopped:
        try:
            with serving(registry, host, port):
                note(f"the figures are at http://{host}:{port}{PAGE} (Ctrl-C ends it)")
                while not stopped():
                    time.sleep(0.2)
        except OSError as error:
            raise InputError(
                f"port {port} of {host} cannot be used ({error.strerror}); choose others by --port and --host"
            ) from error


def _lake(settings: Settings) -> EventLake:
    """The lake, which is not made where there is none yet: who only looks makes none."""
    if settings.profile == "local" and not settings.lake_path.exists():
        raise StoreUnavailableError(f"there is none in {settings.home} yet; begin with simulate or import")
    return open_event_lake(settings)
