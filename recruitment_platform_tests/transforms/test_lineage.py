"""Column lineage comes out of the SQL files themselves, complete as to values."""

import pytest
from sqlglot.errors import SqlglotError

from recruitment_platform.model.contract import HOURLY_FACTS, LAKE_TRACKING, RAW_TRACKING
from recruitment_platform.sql import load_sql
from recruitment_platform.transforms.lineage import column_lineage, columns_read, transform_lineage


def test_the_facts_lineage_names_every_column_s_sources() -> None:
    assert transform_lineage("job_hourly_events") == {
        "job_id": (("raw_tracking", "resolved_job_id"),),
        "publisher_id": (("raw_tracking", "resolved_publisher_id"),),
        "campaign_id": (("dim_jobs", "campaign_id"), ("raw_tracking", "campaign_id")),
        "group_id": (("dim_jobs", "group_id"), ("raw_tracking", "group_id")),
        "company_id": (("dim_jobs", "company_id"),),
        "dates": (("raw_tracking", "event_date"),),
        "hours": (("raw_tracking", "event_hour"),),
        "clicks": (("raw_tracking", "measure"),),
        "conversion": (("raw_tracking", "measure"),),
        "qualified_application": (("raw_tracking", "measure"),),
        "disqualified_application": (("raw_tracking", "measure"),),
        "spend_hour": (("raw_tracking", "bid_micros"), ("raw_tracking", "measure")),
        "bid_set": (("raw_tracking", "bid_micros"), ("raw_tracking", "measure")),
        "impressions": (),
        "sources": (),
        "latest_update_time": (("raw_tracking", "received_at"),),
    }
    assert tuple(transform_lineage("job_hourly_events")) == HOURLY_FACTS.column_names


def test_what_a_transform_reads_is_what_its_text_names_and_no_text_nor_id_of_an_event() -> None:
    read = columns_read("job_hourly_events")
    unread = {"create_time", "payload_hash", "time_source", "kind"}
    assert set(RAW_TRACKING.column_names) - set(read["raw_tracking"]) == unread
    assert read["dim_jobs"] == ("job_id", "company_id", "campaign_id", "group_id", "valid_from", "valid_to")


def test_the_snapshot_s_lineage_leads_to_the_lake_s_columns() -> None:
    found = column_lineage(
        load_sql("pipeline", "snapshot"), dialect="duckdb", tables={"events": LAKE_TRACKING.column_names}
    )
    assert set(found) > set(RAW_TRACKING.column_names)
    assert found["kind"] == found["measure"] == (("events", "custom_track"),)
    assert found["event_hour"] == (("events", "event_time"),)
    assert found["bid_micros"] == (("events", "bid_micros"),)
    assert all(found.values())


TABLES = {"t": ("a", "b"), "u": ("x", "y")}


@pytest.mark.parametrize(
    ("sql", "lineage"),
    [
        ("SELECT a FROM t WHERE b = 1", {"a": (("t", "a"),)}),
        ("SELECT * FROM t", {"a": (("t", "a"),), "b": (("t", "b"),)}),
        ("SELECT t.a + u.x AS s FROM t JOIN u ON t.b = u.y", {"s": (("t", "a"), ("u", "x"))}),
        ("SELECT a FROM t UNION ALL SELECT x FROM u", {"a": (("t", "a"), ("u", "x"))}),
        ("WITH w AS (SELECT a AS c FROM t) SELECT max(c) AS m, 1 AS one FROM w", {"m": (("t", "a"),), "one": ()}),
        ("SELECT CASE WHEN a = 1 THEN b ELSE $p END AS c FROM t", {"c": (("t", "a"), ("t", "b"))}),
        ("SELECT (SELECT max(x) FROM u) AS m FROM t", {"m": (("u", "x"),)}),
    ],
)
def test_lineage_is_of_values_not_of_joins_and_filters(
    sql: str, lineage: dict[str, tuple[tuple[str, str], ...]]
) -> None:
    assert column_lineage(sql, dialect="duckdb", tables=TABLES) == lineage


def test_a_column_that_no_table_has_is_an_error() -> None:
    with pytest.raises(SqlglotError, match="nope"):
        column_lineage("SELECT nope FROM t", dialect="duckdb", tables=TABLES)


def test_what_is_no_query_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a query"):
        column_lineage("DELETE FROM t", dialect="duckdb", tables=TABLES)


def test_the_caller_s_changes_do_not_reach_the_cache() -> None:
    column_lineage("SELECT a FROM t", dialect="duckdb", tables=TABLES).clear()
    assert column_lineage("SELECT a FROM t", dialect="duckdb", tables=TABLES) == {"a": (("t", "a"),)}
