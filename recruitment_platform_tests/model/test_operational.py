"""A raw row of an export becomes typed values, or is refused with a reason."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recruitment_platform.model.operational import GENERIC_TABLES, OPERATIONAL_TABLES, parse_row


def test_a_whole_row_is_typed_and_other_columns_are_ignored() -> None:
    row = {
        "": "17",
        "is_active": "1",
        "title": "Cook; or chef",
        "id": "188.0",
        "budget": "50",
        "status": " 1 ",
        "group_id": "nan",
        "minor_id": "",
        "campaign_id": "+61",
        "company_id": None,
        "created_date": "2022-06-19 14:14:00.473549",
        "last_modified_date": "2022-07-27T08:18:53Z",
        "role_location": "REMOTE",
    }
    assert parse_row("job", row) == {
        "id": 188,
        "title": "Cook; or chef",
        "status": 1,
        "budget": Decimal(50),
        "group_id": None,
        "minor_id": None,
        "campaign_id": 61,
        "company_id": None,
        "is_active": 1,
        "created_date": datetime(2022, 6, 19, 14, 14, 0, 473549, tzinfo=UTC),
        "last_modified_date": datetime(2022, 7, 27, 8, 18, 53, tzinfo=UTC),
    }


@pytest.mark.parametrize("table", OPERATIONAL_TABLES)
def test_columns_that_an_export_lacks_are_null(table: str) -> None:
    columns = OPERATIONAL_TABLES[table].contract.column_names
    assert parse_row(table, {"id": "1"}) == dict.fromkeys(columns) | {"id": 1}


@pytest.mark.parametrize(
    ("table", "row", "reason"),
    [
        ("job", {}, "id is missing"),
        ("job", {"id": None}, "id is missing"),
        ("job", {"id": " "}, "id is missing"),
        ("job", {"id": "NaN"}, "id is missing"),
        ("job", {"id": "a"}, "id is not an integer"),
        ("job", {"id": "1.5"}, "id is not an integer"),
        ("job", {"id": "2147483648"}, "id is not an integer"),
        ("job", {"id": "9" * 5000}, "id is not an integer"),
        ("job", {"id": "1٢"}, "id is not an integer"),
        ("job", {"id": "1", "campaign_id": "x"}, "campaign_id is not an integer"),
        ("job", {"id": "1", "status": "active"}, "status is not an integer"),
        ("job", {"id": "1", "budget": "ten"}, "budget is not a number"),
        ("job", {"id": "1", "budget": "."}, "budget is not a number"),
        ("job", {"id": "1", "budget": "1e3"}, "budget is not a number"),
        ("job", {"id": "1", "budget": "0.0000001"}, "budget has more than 6 decimals"),
        ("job", {"id": "1", "budget": "1000000000000"}, "budget is too large"),
        ("job_location", {"id": "1", "job_id": "1", "city_id": "Huế"}, "city_id is not an integer"),
    ],
)
def test_what_the_dimension_needs_and_cannot_be_read_is_refused(
    table: str, row: dict[str, str | None], reason: str
) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        parse_row(table, row)


@pytest.mark.parametrize(
    ("table", "column", "raw", "value"),
    [
        ("job", "is_active", "true", None),
        ("job", "created_date", "yesterday", None),
        ("job", "created_date", "0999-12-31", None),
        ("job", "created_date", "9999-12-31T23:59:59-14:00", None),
        ("job", "created_date", "2022-07-01T02:00:00+07:00", datetime(2022, 6, 30, 19, tzinfo=UTC)),
        ("campaign", "budget_total", "1,000", None),
        ("campaign", "budget_total", "-0.5", Decimal("-0.5")),
        ("company", "status", "x", None),
        ("group", "budget_group", "10000.0000000", Decimal(10000)),
        ("job", "budget", "999999999999.999999", Decimal("999999999999.999999")),
        ("job", "status", "-0.", 0),
        ("job", "title", "x" * 600, "x" * 512),
        ("job", "title", "None", "None"),
        ("job", "title", "half \ud83d a pair", "half ? a pair"),
        ("campaign", "unit_budget", "nan", None),
        ("campaign", "unit_budget", " $ ", " $ "),
        ("campaign", "unit_budget", "\\N", None),
        ("company", "name", "   ", None),
    ],
)
def test_a_value_is_read_or_becomes_null(table: str, column: str, raw: str, value: Any) -> None:
    assert parse_row(table, {"id": "1", column: raw})[column] == value


@pytest.mark.parametrize(
    ("table", "column", "header"),
    [
        (table.contract.name, column, header)
        for table in OPERATIONAL_TABLES.values()
        for column, headers in table.aliases.items()
        for header in headers
    ],
)
def test_a_column_may_go_by_another_header_but_its_own_wins(table: str, column: str, header: str) -> None:
    assert str(parse_row(table, {"id": "1", header: "7"})[column]) == "7"
    assert str(parse_row(table, {"id": "1", header: "7", column: "8"})[column]) == "8"
    assert parse_row(table, {"id": "1", header: "7", column: ""})[column] is None


def test_no_alias_is_a_column_of_its_own() -> None:
    for table in OPERATIONAL_TABLES.values():
        assert set(table.aliases) <= set(table.contract.column_names)
        for headers in table.aliases.values():
            assert not set(headers) & set(table.contract.column_names)


@given(
    table=st.sampled_from(sorted(OPERATIONAL_TABLES)),
    row=st.dictionaries(
        st.sampled_from(["title", "budget", "status", "created_date", "name", "is_active", "budget_total", "city_id"]),
        st.none() | st.text(max_size=20) | st.text("+-.0123456789", max_size=20) | st.datetimes().map(str),
    ),
)
def test_any_text_is_read_or_refused_by_a_value_error(table: str, row: dict[str, str | None]) -> None:
    columns: tuple[str, ...] = ()
    refused = ""
    try:
        columns = tuple(parse_row(table, {"id": "1", **row}))
    except ValueError as error:
        refused = str(error).split()[0]
    assert refused in OPERATIONAL_TABLES[table].needed or columns == OPERATIONAL_TABLES[table].contract.column_names


def test_every_table_of_the_site_is_known_once() -> None:
    assert len({*OPERATIONAL_TABLES, *GENERIC_TABLES}) == 9 + 8
