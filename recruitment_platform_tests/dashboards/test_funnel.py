"""The dashboard over facts: each panel's query gives what was counted by hand from a small site's events.

It runs on both stores that the panels may read: Redshift (its stand-in, whose gate refuses what Redshift's SQL does not
know) and MySQL (MariaDB).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pymysql
import pytest
from pymysql.cursors import DictCursor

from recruitment_platform.addresses import MySQLAddress
from recruitment_platform.model.operational import parse_row
from recruitment_platform.pipeline.dimensions import load_dimensions, refresh_dimensions
from recruitment_platform.pipeline.reports import report_day
from recruitment_platform.resources.redshift.warehouse import open_redshift
from recruitment_platform.resources.relational.mysql import migrate_mysql, open_mysql
from recruitment_platform.servers.server import Server
from recruitment_platform_tests.dashboards.grafana import (
    mysql_time,
    panels,
    postgres_time,
    render_sql,
    targets,
    variables,
)
from recruitment_platform_tests.pipeline.steps import materialize
from recruitment_platform_tests.redshift_fixtures import redshift_place
from recruitment_platform_tests.resources.relational_stores import fresh_database
from recruitment_platform_tests.site import Site, event

FUNNEL = "funnel_and_spend"

Row = dict[str, Any]
Query = Callable[[str], list[Row]]


@dataclass(frozen=True)
class Happened:
    """One event of the site."""

    day: int
    hour: int
    kind: str
    job: int
    publisher: int
    bid: str = "0"


# Clicks, applications, qualified ones; of two jobs and one that nobody knows, on two publishers and an unknown one.
EVENTS = (
    *(Happened(1, 9, "click", 1, 1, "0.50") for _ in range(4)),
    *(Happened(1, 9, "conversion", 1, 1) for _ in range(2)),
    Happened(1, 23, "qualified", 1, 1),
    *(Happened(1, 10, "click", 2, 2, "1.25") for _ in range(3)),
    Happened(1, 10, "conversion", 2, 2),
    *(Happened(2, 9, "click", 2, 1, "0.000001") for _ in range(2)),
    Happened(2, 0, "click", 3, 0, "2"),
    Happened(2, 1, "qualified", 2, 2),
    Happened(2, 2, "unqualified", 2, 2),
    *(Happened(3, 9, "click", 1, 2, "0.10") for _ in range(5)),
    Happened(3, 11, "conversion", 1, 2),
    Happened(3, 12, "alive", 1, 2),
)
CAMPAIGN, COMPANY = {1: 10, 2: 11}, {1: 100, 2: 101}
NAMES = {
    "job": {1: "Cook", 2: "Nurse"},
    "publisher": {1: "Jobs Daily", 2: "Work & Co"},
    "campaign": {10: "Kitchens", 11: "Clinics"},
    "company": {100: "Inn", 101: "Hospital"},
}
TABLES = {
    "job": [
        {"id": "1", "title": "Cook", "status": "1", "campaign_id": "10", "company_id": "100"},
        {"id": "2", "title": "Nurse", "status": "1", "campaign_id": "11", "company_id": "101"},
    ],
    "campaign": [
        {"id": "10", "campaign_name": "Kitchens", "unit_budget": "USD"},
        {"id": "11", "campaign_name": "Clinics", "unit_budget": "USD"},
    ],
    "company": [{"id": "100", "name": "Inn"}, {"id": "101", "name": "Hospital"}],
    "master_publisher": [{"id": "1", "publisher_name": "Jobs Daily"}, {"id": "2", "publisher_name": "Work & Co"}],
}
DAYS = tuple(date(2025, 6, number) for number in (1, 2, 3))
BEFORE, AFTER = datetime(2025, 5, 20, 14, tzinfo=UTC), datetime(2025, 6, 20, 14, tzinfo=UTC)


@dataclass(frozen=True)
class Chosen:
    """What a viewer of the dashboard has chosen."""

    first: datetime = BEFORE
    last: datetime = AFTER
    publisher: tuple[int, ...] = ()
    campaign: tuple[int, ...] = ()
    company: tuple[int, ...] = ()

    def events(self) -> list[Happened]:
        """The events that its panels are about."""
        return [
            happened
            for happened in EVENTS
            if self.first.date() <= DAYS[happened.day - 1] <= self.last.date()
            and (not self.publisher or happened.publisher in self.publisher)
            and (not self.campaign or CAMPAIGN.get(happened.job, 0) in self.campaign)
            and (not self.company or COMPANY.get(happened.job, 0) in self.company)
        ]


CHOICES = {
    "all": Chosen(),
    "a part of the days": Chosen(first=datetime(2025, 6, 2, 18, tzinfo=UTC), last=datetime(2025, 6, 2, 20, tzinfo=UTC)),
    "publishers": Chosen(publisher=(0, 2)),
    "a campaign and a company": Chosen(campaign=(10, 11), company=(101,)),
    "nothing is there": Chosen(first=datetime(2025, 7, 1, tzinfo=UTC), last=datetime(2025, 7, 2, tzinfo=UTC)),
}


# What the panels must show, counted from the events


def counts(events: Iterable[Happened]) -> Row:
    kinds = [happened.kind for happened in events]
    return {
        "clicks": kinds.count("click"),
        "applications": kinds.count("conversion"),
        "qualified": kinds.count("qualified"),
    }


def spend(events: Iterable[Happened]) -> float:
    return float(sum((Decimal(happened.bid) for happened in events if happened.kind == "click"), Decimal(0)))


def rates(events: Iterable[Happened]) -> Row:
    found = counts(list(events))
    return {
        "conversion_rate": ratio(found["applications"], found["clicks"]),
        "qualified_rate": ratio(found["qualified"], found["applications"]),
    }


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def everything(events: list[Happened]) -> Row:
    cost = ratio(spend(events), counts(events)["applications"])
    return {**counts(events), "spend": spend(events), **rates(events), "cost_per_application": cost}


def grouped(events: list[Happened], key: Callable[[Happened], Any]) -> Iterator[tuple[Any, list[Happened]]]:
    """Events by key, ascending; those that no fact is made of leave no group."""
    found: dict[Any, list[Happened]] = defaultdict(list)
    for happened in events:
        if happened.kind != "alive":
            found[key(happened)].append(happened)
    yield from sorted(found.items())


def by_day(events: list[Happened], made: Callable[[list[Happened]], Row]) -> list[Row]:
    return [{"time": DAYS[day - 1], **made(of)} for day, of in grouped(events, lambda happened: happened.day)]


def by_hour(events: list[Happened], made: Callable[[list[Happened]], Row]) -> list[Row]:
    return [{"hour_of_day": str(hour), **made(of)} for hour, of in grouped(events, lambda happened: happened.hour)]


def by_id(events: list[Happened], what: str, id_of: Callable[[Happened], int]) -> list[Row]:
    rows = [
        {"id": id_, "name": NAMES[what].get(id_, "unknown"), **everything(of)} for id_, of in grouped(events, id_of)
    ]
    return sorted(rows, key=lambda row: (-row["spend"], -row["clicks"], row["id"]))


def all_together(events: list[Happened]) -> list[Row]:
    return [everything(events) if events else dict.fromkeys(everything(events))]


def by_day_and_publisher(events: list[Happened]) -> list[Row]:
    return [
        {"time": DAYS[day - 1], "metric": NAMES["publisher"].get(publisher, "unknown"), "spend": spend(of)}
        for (day, publisher), of in grouped(events, lambda happened: (happened.day, happened.publisher))
    ]


EXPECTED: Mapping[str, Callable[[list[Happened]], list[Row]]] = {
    "All together": all_together,
    "Clicks, applications, qualified by day": lambda events: by_day(events, counts),
    "Conversion and qualified rate by day": lambda events: by_day(events, rates),
    "Spend by day and publisher": by_day_and_publisher,
    "Clicks, applications, qualified by hour of the day": lambda events: by_hour(events, counts),
    "Spend by hour of the day": lambda events: by_hour(events, lambda of: {"spend": spend(of)}),
    "Publishers": lambda events: by_id(events, "publisher", lambda happened: happened.publisher),
    "Campaigns": lambda events: by_id(events, "campaign", lambda happened: CAMPAIGN.get(happened.job, 0)),
    "Jobs": lambda events: by_id(events, "job", lambda happened: happened.job),
}


# The stores


@dataclass(frozen=True)
class Facts:
    """A store that the panels read: its answers, and how its datasource writes times."""

    query: Query
    time: Callable[[datetime], str]


@pytest.fixture(scope="module")
def facts(
    redshift_gate: Any,
    postgres_server: Server,
    s3_server: Server,
    mariadb_server: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, Facts]]:
    """The events loaded by the platform's own steps, into both stores."""
    place = redshift_place(redshift_gate, postgres_server, s3_server, tmp_path_factory.mktemp("objects-cache"))
    site = Site(tmp_path_factory.mktemp("site"))
    site.objects = place.store()  # type: ignore[assignment]
    warehouse = open_redshift(place.address, site.objects)
    site.warehouse = warehouse  # type: ignore[assignment]
    with fresh_database(mariadb_server) as environment:
        address = MySQLAddress(
            host=mariadb_server.host,
            port=mariadb_server.port,
            database=environment["RECRUITMENT_MYSQL_DATABASE"],
            user=environment["RECRUITMENT_MYSQL_USER"],
            password=environment["RECRUITMENT_MYSQL_PASSWORD"],  # type: ignore[arg-type]
        )
        migrate_mysql(address)
        relational = open_mysql(address)
        for table, rows in TABLES.items():
            relational.upsert(table, [parse_row(table, row) for row in rows])
        as_of = datetime(2020, 1, 1, tzinfo=UTC)
        refresh_dimensions(relational, site.objects, as_of=as_of, currency="USD", aliases={}, run_id="test")
        load_dimensions(site.objects, warehouse)
        site.send(
            event(
                f"{DAYS[happened.day - 1]} {happened.hour:02}:30",
                number,
                custom_track=happened.kind,
                job_id=str(happened.job),
                publisher_id=str(happened.publisher),
                bid=happened.bid,
            )
            for number, happened in enumerate(EVENTS)
        )
        materialize(site, *DAYS)
        for day in DAYS:
            report_day(site.objects, relational, day)
        yield {
            "redshift": Facts(lambda sql: warehouse.query(sql).to_pylist(), postgres_time),
            "mysql": Facts(lambda sql: ask_mysql(mariadb_server, address.database, sql), mysql_time),
        }


def ask_mysql(server: Server, database: str, sql: str) -> list[Row]:
    connection = pymysql.connect(
        host=server.host, port=server.port, user=server.user, password=server.password, database=database
    )
    with closing(connection), connection.cursor(DictCursor) as cursor:
        cursor.execute("SET time_zone = '+00:00'")  # as the datasource is set
        cursor.execute(sql)
        return list(cursor.fetchall())


def shown(rows: Iterable[Row]) -> list[Row]:
    """Numbers as Grafana shows them: as floats, texts without what pads them."""
    return [
        {
            name: float(value)
            if isinstance(value, int | Decimal)
            else value.strip()
            if isinstance(value, str)
            else value
            for name, value in row.items()
        }
        for row in rows
    ]


def about(rows: list[Row]) -> list[Row]:
    return [
        {name: pytest.approx(value, rel=1e-6) if isinstance(value, float) else value for name, value in row.items()}
        for row in shown(rows)
    ]


@pytest.mark.parametrize("store", ["redshift", "mysql"])
@pytest.mark.parametrize("choice", CHOICES)
def test_each_panel_over_facts_shows_what_the_events_add_up_to(
    facts: Mapping[str, Facts], store: str, choice: str
) -> None:
    chosen = CHOICES[choice]
    ids = {"publisher": chosen.publisher, "campaign": chosen.campaign, "company": chosen.company}
    assert set(panels(FUNNEL)) == set(EXPECTED)
    for title, target in targets(FUNNEL):
        sql = render_sql(FUNNEL, target["rawSql"], chosen.first, chosen.last, ids, facts[store].time)
        assert shown(facts[store].query(sql)) == about(EXPECTED[title](chosen.events())), title


@pytest.mark.parametrize("store", ["redshift", "mysql"])
def test_the_variables_offer_what_has_facts_by_name(facts: Mapping[str, Facts], store: str) -> None:
    def offered(variable: str, **chosen: tuple[int, ...]) -> dict[int, str]:
        sql = render_sql(FUNNEL, variables(FUNNEL)[variable]["query"], BEFORE, AFTER, chosen, facts[store].time)
        return {row["__value"]: row["__text"] for row in facts[store].query(sql)}

    assert set(variables(FUNNEL)) == {"publisher", "campaign", "company"}
    for name in variables(FUNNEL):
        assert offered(name) == {0: "unknown", **NAMES[name]}
    assert offered("campaign", company=(100,)) == {10: "Kitchens"}


def test_every_statement_is_redshifts_own(facts: Mapping[str, Facts], redshift_gate: Any) -> None:
    """The gate has refused none; so that it is no accident, it is asked about each."""
    statements = [target["rawSql"] for _, target in targets(FUNNEL)]
    statements += [variable["query"] for variable in variables(FUNNEL).values()]
    for statement in statements:
        rendered = render_sql(FUNNEL, statement, BEFORE, AFTER, {"publisher": (1, 2)}, postgres_time)
        assert redshift_gate.syntax_error(rendered) == ""
    assert redshift_gate.syntax_error(f"{rendered} LIMIT LIMIT") != ""
