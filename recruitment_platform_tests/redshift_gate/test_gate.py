"""The gate refuses what Redshift refuses and lets through what it lets through: else its tests would prove nothing."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redshift_connector

from recruitment_platform_tests.redshift_fixtures import ROLE, SERIALIZABLE, SNAPSHOT, RedshiftPlace, open_gate
from recruitment_platform_tests.redshift_gate.process import GateProcess
from recruitment_platform_tests.servers_fixtures import Server

COPY = f"COPY two FROM '{{}}' IAM_ROLE '{ROLE}' FORMAT AS PARQUET MANIFEST"


def connect(place: RedshiftPlace) -> redshift_connector.Connection:
    assert place.address.password is not None
    connection = redshift_connector.connect(
        host=place.address.host,
        port=place.address.port,
        database=place.address.database,
        user=place.address.user,
        password=place.address.password.get_secret_value(),
        ssl=False,
    )
    connection.autocommit = True
    run(connection, f"SET search_path TO {place.address.schema_name}")
    return connection


def run(connection: redshift_connector.Connection, sql: str, *parameters: Any) -> list[list[Any]]:
    cursor = connection.cursor()
    cursor.execute(sql, list(parameters) if parameters else None)
    return [list(row) for row in cursor.fetchall()] if cursor.description else []


@pytest.fixture
def driver(redshift: RedshiftPlace) -> Iterator[redshift_connector.Connection]:
    """Redshift's driver at the gate, each statement committed; the table `two` has two columns."""
    with connect(redshift) as connection:
        run(connection, "CREATE TABLE two (number INTEGER NOT NULL PRIMARY KEY, word VARCHAR(4)) DISTKEY (number)")
        yield connection


@pytest.fixture
def manifest(redshift: RedshiftPlace, tmp_path: Path) -> str:
    """A manifest of one file with the rows (1, a) and (2, b)."""
    return staged(redshift, tmp_path, pa.table({"number": pa.array([1, 2], pa.int32()), "word": ["a", "b"]}))


def staged(place: RedshiftPlace, folder: Path, rows: pa.Table, **meta: int) -> str:
    store = place.store()
    pq.write_table(rows, folder / "rows.parquet")
    size = store.put_file(folder / "rows.parquet", "rows.parquet")
    entry = {"url": store.uri("rows.parquet"), "mandatory": True, "meta": {"content_length": size} | meta}
    store.put_if_absent("manifest.json", json.dumps({"entries": [entry]}).encode())
    return store.uri("manifest.json")


def refused(connection: redshift_connector.Connection, sql: str) -> dict[str, str]:
    """SQLSTATE, message and detail of a statement that must fail."""
    with pytest.raises(redshift_connector.ProgrammingError) as caught:
        run(connection, sql)
    fields: dict[str, str] = caught.value.args[0]
    return fields


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO two VALUES (1, 'a') ON CONFLICT DO NOTHING",
        "INSERT INTO two VALUES (1, 'a') RETURNING number",
        "CREATE INDEX fast ON two (number)",
        "CREATE UNIQUE INDEX fast ON two (number)",
        "CREATE TABLE other (id SERIAL)",
        "CREATE TABLE other (document JSONB)",
        "CREATE TABLE other (id INTEGER CHECK (id > 0))",
        "COPY two FROM STDIN",
        "SELECT unnest(ARRAY[1, 2])",
        "SELECT DISTINCT ON (number) number FROM two",
        "SELECT count(*) FILTER (WHERE number > 1) FROM two",
        "SELECT number FROM two FOR UPDATE",
        "LOCK TABLE two IN SHARE MODE",
        "SELEC 1",
    ],
)
def test_postgresqls_own_sql_is_refused_and_fails_the_transaction(
    driver: redshift_connector.Connection, statement: str
) -> None:
    run(driver, "BEGIN")
    run(driver, "INSERT INTO two VALUES (7, 'kept')")
    assert refused(driver, statement)["C"] == "42601"
    assert refused(driver, "SELECT 1")["C"] == "25P02"
    run(driver, "ROLLBACK")
    assert run(driver, "SELECT * FROM two") == []


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE two APPEND FROM other",
        "VACUUM two",
        "CREATE EXTERNAL TABLE lake.two (number INTEGER) STORED AS PARQUET LOCATION 's3://bucket/two/'",
        "ALTER TABLE lake.two ADD IF NOT EXISTS PARTITION (dt = '2022-07-06') LOCATION 's3://bucket/two/'",
        "TRUNCATE two",
    ],
)
def test_what_redshift_does_outside_transactions_only_is_refused_inside_one(
    driver: redshift_connector.Connection, statement: str
) -> None:
    run(driver, "BEGIN")
    assert refused(driver, statement)["C"] in ("25001", "42601")
    assert refused(driver, "SELECT 1")["C"] == "25P02"


def test_keys_are_not_enforced_and_a_file_copied_twice_is_there_twice(
    driver: redshift_connector.Connection, manifest: str
) -> None:
    for _ in range(2):
        cursor = driver.cursor()
        cursor.execute(COPY.format(manifest))
        assert cursor.rowcount == -1
        assert run(driver, "SELECT pg_last_copy_count()") == [[2]]
    assert run(driver, "SELECT number, word, count(*) FROM two GROUP BY 1, 2 ORDER BY 1") == [[1, "a", 2], [2, "b", 2]]


def test_text_is_measured_in_bytes(driver: redshift_connector.Connection) -> None:
    run(driver, "INSERT INTO two VALUES (1, %s)", "éé")
    assert refused(driver, "INSERT INTO two VALUES (2, 'ééa')")["C"] == "22001"
    assert run(driver, "SELECT word FROM two") == [["éé"]]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("MANIFEST", "MANIFEST MAXERROR 3", "MAXERROR argument is not supported for PARQUET"),
        ("MANIFEST", "MANIFEST REGION 'eu-west-1'", "REGION argument is not supported for PARQUET"),
        (f"IAM_ROLE '{ROLE}'", "", "COPY needs IAM_ROLE"),
        (ROLE, "arn:aws:iam::1:role/other", "not authorized to assume IAM Role arn:aws:iam::1:role/other"),
        ("manifest.json", "missing.json", "Manifest file is not found"),
    ],
)
def test_copy_is_refused_as_redshift_refuses_it(
    driver: redshift_connector.Connection, manifest: str, before: str, after: str, told: str
) -> None:
    assert told in refused(driver, COPY.format(manifest).replace(before, after))["M"]
    assert run(driver, "SELECT * FROM two") == []


NUMBERS = pa.array([1, 2], pa.int32())


@pytest.mark.parametrize(
    ("rows", "meta", "told"),
    [
        ({"number": NUMBERS}, {}, "Unmatched number of columns between table and file. Table columns: 2, Data columns"),
        ({"number": NUMBERS.cast(pa.int64()), "word": ["a", "b"]}, {}, "incompatible Parquet schema for column"),
        (
            {"number": NUMBERS, "word": ["a", "ééa"]},
            {},
            "word is longer than the length defined in the table. Table: 4",
        ),
        ({"number": pa.array([1, None], pa.int32()), "word": ["a", "b"]}, {}, "Null value in column number"),
        ({"number": NUMBERS, "word": ["a", "b"]}, {"content_length": 1}, "content_length mismatch"),
    ],
)
def test_files_that_do_not_fit_are_refused_whole_and_noted_in_the_clusters_tables(
    redshift: RedshiftPlace,
    driver: redshift_connector.Connection,
    tmp_path: Path,
    rows: dict[str, Any],
    meta: dict[str, int],
    told: str,
) -> None:
    manifest = staged(redshift, tmp_path, pa.table(rows), **meta)
    assert told in refused(driver, COPY.format(manifest))["D"]
    assert run(driver, "SELECT * FROM two") == []
    [[session]] = run(driver, "SELECT pg_backend_pid()")
    [[noted]] = run(driver, "SELECT error_message FROM sys_load_error_detail WHERE session_id = %s", session)
    assert told in noted
    [[noted]] = run(driver, "SELECT err_reason FROM stl_load_errors WHERE session = %s", session)
    assert noted.strip()


def test_columns_are_copied_by_their_position_whatever_they_are_called(
    redshift: RedshiftPlace, driver: redshift_connector.Connection, tmp_path: Path
) -> None:
    run(driver, "CREATE TABLE pair (first INTEGER, second INTEGER)")
    manifest = staged(redshift, tmp_path, pa.table({"second": NUMBERS, "first": pa.array([10, 20], pa.int32())}))
    run(driver, COPY.format(manifest).replace("two", "pair"))
    assert run(driver, "SELECT first, second FROM pair ORDER BY 1") == [[1, 10], [2, 20]]


@pytest.mark.parametrize("isolation", [SNAPSHOT, SERIALIZABLE])
def test_transactions_that_form_a_cycle_fail_with_error_1023_where_the_cluster_is_serializable(
    redshift: RedshiftPlace,
    driver: redshift_connector.Connection,
    gate_process: GateProcess,
    s3_server: Server,
    isolation: str,
) -> None:
    gate = open_gate(gate_process, redshift.server, s3_server, isolation=isolation)
    place = replace(redshift, address=redshift.address.model_copy(update={"port": gate.port()}))
    with connect(place) as one, connect(place) as other:
        for connection, number in ((one, 1), (other, 2)):
            run(connection, "BEGIN")
            run(connection, "SELECT count(*) FROM two")
            run(connection, "INSERT INTO two VALUES (%s, 'a')", number)
        run(one, "COMMIT")
        if isolation == SERIALIZABLE:
            found = refused(other, "COMMIT")
            assert (found["M"], found["D"]) == ("1023", "Serializable isolation violation on table")
        else:
            run(other, "COMMIT")
    assert run(driver, "SELECT count(*) FROM two") == [[1 if isolation == SERIALIZABLE else 2]]
