"""The platform's figures in Prometheus' format: their names, and the page that Prometheus reads.

A scrape looks once at each store, in a thread of its own: a store that is away or hangs holds up neither the scrape nor
the figures of the others. What belongs here: names, labels, serving. What does not: how a figure is counted
(`pipeline.metrics`).
https://prometheus.io/docs/practices/naming/
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from http import HTTPStatus
from importlib.metadata import version
from typing import Generic, Literal, TypeVar
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import StartResponse, WSGIEnvironment
from zoneinfo import ZoneInfo

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from recruitment_platform.errors import PlatformError
from recruitment_platform.pipeline.metrics import (
    DayFigures,
    LakeReading,
    WarehouseReading,
    day_figures,
    end_of,
    last_load,
    read_lake,
    read_warehouse,
    rows_by_kind,
)
from recruitment_platform.pipeline.status import STATES, standing_errors
from recruitment_platform.resources.protocols import EventLake, ObjectStore, Warehouse
from recruitment_platform.settings import Settings

logger = logging.getLogger(__name__)

DAYS = 35
"""How many days have figures of their own, by default: the last ones, today included."""

PATIENCE = 8.0
"""Seconds that a scrape waits for a store; Prometheus itself waits for 10."""

FRESH = 5.0
"""Seconds for which a reading serves further scrapes."""

PREFIX = "recruitment_"

PAGE = "/metrics"
"""Where the figures are, as Prometheus expects it."""

HEALTH = "/health"
"""Answers without a look at the stores."""

Read = TypeVar("Read")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Definition:
    """A metric: its name, type and labels as Prometheus sees them, and what it tells."""

    name: str
    type: Literal["gauge", "counter"]
    labels: tuple[str, ...]
    help: str


METRICS = tuple(
    Definition(f"{PREFIX}{name}", kind, labels, told)  # type: ignore[arg-type]
    for name, kind, labels, told in (
        ("build_info", "gauge", ("version", "profile"), "1; the labels tell what runs."),
        (
            "store_up",
            "gauge",
            ("store",),
            f"1 where the store (lake, warehouse, objects) was read, 0 where it is away or took over {PATIENCE:g} s:"
            " what it takes is left out then.",
        ),
        (
            "events_received_total",
            "counter",
            ("source_kind",),
            "Rows taken in from sources of the kind: file, kafka, simulator, other.",
        ),
        (
            "events_accepted_total",
            "counter",
            ("source_kind",),
            "Those of them that are in the lake; its rate is events a second.",
        ),
        (
            "events_rejected",
            "gauge",
            ("source_kind",),
            "Those of them that were rejected and not replayed yet: it falls when they are.",
        ),
        ("rejected_rows", "gauge", ("ingest_day",), "Rows of any table, rejected on that day and not replayed yet."),
        ("partitions", "gauge", ("state",), "Days in each state, as `status` tells them; stale by late events alone."),
        ("day_state", "gauge", ("day", "state"), "1 for the state that the day is in."),
        (
            "day_lag_seconds",
            "gauge",
            ("day",),
            "How long the day's facts may have been behind the lake: 0 where they have all of it, else since their"
            " load (of a closed day, its adjustments); of an expected day never loaded, since the day's end.",
        ),
        ("day_accepted_events", "gauge", ("day",), "Accepted rows of the event day, in the lake."),
        ("day_clicks", "gauge", ("day",), "Clicks of the day, as loaded."),
        ("day_spend", "gauge", ("day", "currency"), "Spend of the day, as loaded, in the currency."),
        (
            "day_adjusted_spend",
            "gauge",
            ("day", "currency"),
            "What is booked beside the spend of a day that is closed for billing; it may be negative.",
        ),
        ("last_load_timestamp_seconds", "gauge", (), "When a day was last loaded or adjusted, in Unix time."),
        (
            "closed_through_timestamp_seconds",
            "gauge",
            (),
            "The end of the last day that is closed for billing, in Unix time; absent where none is.",
        ),
    )
)
"""Every metric, in the order of the page."""

_BY_NAME = {definition.name.removeprefix(PREFIX): definition for definition in METRICS}
_DAY_STATES = tuple(state for state in STATES if state != "not expected")


class StoreReader(Generic[Read]):
    """Looks at one store, in a thread, one look at a time."""

    def __init__(self, store: str, read: Callable[[], Read]) -> None:
        """`read` may raise PlatformError and OSError where the store is away."""
        self.store = store
        self._read = read
        self._pending: Future[Read] | None = None
        self._told = ""

    def begin(self) -> None:
        """Begins to look, unless a former look has not come back yet."""
        if self._pending is None:
            self._pending = Future()
            threading.Thread(target=self._look, args=(self._pending,), daemon=True).start()

    def result(self, deadline: float) -> Read | None:
        """What was read; None where the store is away, or has not answered by the deadline (monotonic seconds).

        Why not is logged, once for as long as it stays so.
        """
        pending = self._pending
        assert pending is not None
        wait([pending], max(deadline - time.monotonic(), 0))
        if not pending.done():
            self._tell(f"the {self.store} has not answered yet; its figures are left out")
            return None
        self._pending = None
        error = pending.exception()
        if error is not None:
            self._tell(f"the {self.store} cannot be read, its figures are left out: {' '.join(str(error).split())}")
            return None
        self._tell("")
        return pending.result()

    def _look(self, pending: Future[Read]) -> None:
        try:
            pending.set_result(self._read())
        except (PlatformError, OSError) as error:
            pending.set_exception(error)
        finally:
            pending.cancel()  # nobody may wait for a look that ended by a mistake of ours

    def _tell(self, problem: str) -> None:
        if problem != self._told:
            logger.warning(problem or f"the {self.store} is read again")
            self._told = problem


@dataclass(frozen=True)
class Opened:
    """How each store is opened; it is asked again until it succeeds once, and only then kept."""

    lake: Callable[[], EventLake]
    objects: Callable[[], ObjectStore]
    warehouse: Callable[[ObjectStore], Warehouse]


class PlatformCollector(Collector):
    """What Prometheus' library asks for at each scrape. Scrapes that come at once share one look at the stores."""

    def __init__(
        self,
        settings: Settings,
        opened: Opened,
        days: int = DAYS,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`days` is how many of the last days have figures of their own, `patience` the seconds a store is given."""
        self._settings = settings
        self._days = days
        self._patience = patience
        self._clock = clock
        lake, objects = _once(opened.lake), _once(opened.objects)
        warehouse = _once(lambda: opened.warehouse(objects()))
        self._lake = StoreReader("lake", lambda: read_lake(lake()))
        self._warehouse = StoreReader("warehouse", lambda: read_warehouse(warehouse()))
        self._objects = StoreReader("objects", lambda: standing_errors(objects()))
        self._guard = threading.Lock()
        self._page: list[Metric] = []
        self._page_at = float("-inf")

    def describe(self) -> Iterable[Metric]:
        """The metrics without values, so that registering looks at no store."""
        return [_family(name) for name in _BY_NAME]

    def collect(self) -> Iterable[Metric]:
        """The metrics, those of a store that is away left out."""
        with self._guard:
            if time.monotonic() - self._page_at > FRESH:
                self._page = self._look()
                self._page_at = time.monotonic()
            return self._page

    def _look(self) -> list[Metric]:
        deadline = time.monotonic() + self._patience
        for reader in (self._lake, self._warehouse, self._objects):
            reader.begin()
        lake, warehouse, errors = (
            self._lake.result(deadline),
            self._warehouse.result(deadline),
            self._objects.result(deadline),
        )
        ups = {"lake": lake is not None, "warehouse": warehouse is not None, "objects": errors is not None}
        return [
            *self._about(ups),
            *self._of_sources(lake),
            *self._of_days(lake, warehouse, errors),
            *self._of_loads(warehouse),
        ]

    def _about(self, ups: dict[str, bool]) -> Iterator[Metric]:
        yield _family("build_info", [((version("recruitment-platform"), self._settings.profile), 1)])
        yield _family("store_up", [((store,), up) for store, up in ups.items()])

    def _of_sources(self, lake: LakeReading | None) -> Iterator[Metric]:
        if lake is None:
            return
        rows = rows_by_kind(lake.sources)
        yield _family("events_received_total", [((kind,), of.received) for kind, of in rows.items()])
        yield _family("events_accepted_total", [((kind,), of.accepted) for kind, of in rows.items()])
        yield _family("events_rejected", [((kind,), of.rejected) for kind, of in rows.items()])
        newest = sorted(lake.rejected.items())[-self._days :]
        yield _family("rejected_rows", [((str(day),), count) for day, count in newest])

    def _of_days(
        self, lake: LakeReading | None, warehouse: WarehouseReading | None, errors: dict[date, datetime] | None
    ) -> Iterator[Metric]:
        figures = day_figures(lake, warehouse, errors, self._clock(), self._settings.time_zone)
        if lake is not None and warehouse is not None and errors is not None:
            states = [of.state for of in figures]
            yield _family("partitions", [((state,), states.count(state)) for state in _DAY_STATES])
        yield from _of_last_days(figures[-self._days :], self._settings.currency)

    def _of_loads(self, warehouse: WarehouseReading | None) -> Iterator[Metric]:
        if warehouse is None:
            return
        loaded_at, closed = last_load(warehouse), warehouse.closed_through
        if loaded_at is not None:
            yield _family("last_load_timestamp_seconds", [((), loaded_at.timestamp())])
        if closed is not None:
            end = end_of(closed, ZoneInfo(self._settings.time_zone))
            yield _family("closed_through_timestamp_seconds", [((), end.timestamp())])


def _of_last_days(figures: list[DayFigures], currency: str) -> Iterator[Metric]:
    told = [of for of in figures if of.state is not None and of.state != "not expected"]
    yield _family("day_state", [((str(of.day), str(of.state)), 1) for of in told])
    for name, values in (
        ("day_lag_seconds", [(of.day, None if of.lag is None else of.lag.total_seconds()) for of in figures]),
        ("day_accepted_events", [(of.day, of.accepted) for of in figures]),
        ("day_clicks", [(of.day, of.clicks) for of in figures]),
    ):
        yield _family(name, [((str(day),), value) for day, value in values if value is not None])
    for name, money in (
        ("day_spend", [(of.day, of.spend_micros) for of in figures]),
        ("day_adjusted_spend", [(of.day, of.adjusted_micros) for of in figures]),
    ):
        yield _family(name, [((str(day), currency), micros / 1_000_000) for day, micros in money if micros is not None])


def registry_of(collector: Collector) -> CollectorRegistry:
    """A registry with nothing else in it."""
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


@contextmanager
def serving(registry: CollectorRegistry, host: str, port: int) -> Iterator[None]:
    """Serves the page `/metrics`, and HEALTH, in threads. OSError where it cannot listen there."""
    page = make_wsgi_app(registry)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == PAGE:
            return page(environ, start_response)  # type: ignore[no-any-return]
        status, text = (HTTPStatus.OK, "ok") if path == HEALTH else (HTTPStatus.NOT_FOUND, f"the figures are at {PAGE}")
        start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{text}\n".encode()]

    with make_server(host, port, answer, ThreadingWSGIServer, _Quiet) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield
        finally:
            server.shutdown()
            serving.join()


class _Quiet(WSGIRequestHandler):
    """Writes no line for each scrape."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


def _family(name: str, samples: Iterable[tuple[tuple[str, ...], float]] = ()) -> Metric:
    definition = _BY_NAME[name]
    kind = CounterMetricFamily if definition.type == "counter" else GaugeMetricFamily
    family = kind(definition.name, definition.help, labels=definition.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _once(make: Callable[[], Made]) -> Callable[[], Made]:
    """Makes it at the first call that succeeds, and gives the same ever after."""
    made: list[Made] = []

    def get() -> Made:
        with guard:
            if not made:
                made.append(make())
            return made[0]

    guard = threading.Lock()
    return get
