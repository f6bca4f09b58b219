"""Rows as redshift-connector gives them, as Arrow: typed as the embedded warehouse types them.

What belongs here: from the cluster's types to Arrow's. What does not: asking (`session`).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

# Types by their numbers in pg_type, which Redshift shares with PostgreSQL.
_BIGINT, _SMALLINT, _INTEGER, _REAL, _DOUBLE, _BOOLEAN = 20, 21, 23, 700, 701, 16
_DATE, _TIMESTAMP, _TIMESTAMPTZ, _NUMERIC, _OID = 1082, 1114, 1184, 1700, 26

_ARROW = {
    _BOOLEAN: pa.bool_(),
    _SMALLINT: pa.int16(),
    _INTEGER: pa.int32(),
    _BIGINT: pa.int64(),
    _OID: pa.int64(),
    _REAL: pa.float32(),
    _DOUBLE: pa.float64(),
    _DATE: pa.date32(),
    _TIMESTAMP: pa.timestamp("us", tz="UTC"),
    _TIMESTAMPTZ: pa.timestamp("us", tz="UTC"),
}
_MOST_DIGITS = 38


def arrow_rows(columns: Sequence[Mapping[str, Any]], rows: Sequence[Sequence[Any]]) -> pa.Table:
    """The rows as a table; `columns` are the driver's descriptions: `label`, `type_oid`, `type_modifier`.

    Timestamps without zone are UTC, as the platform writes them. Decimals have the precision and scale that the cluster
    told, or, where it told none, 38 digits and as many decimals as the values need.
    """
    arrays = [
        _array(column["type_oid"], column["type_modifier"], [row[number] for row in rows])
        for number, column in enumerate(columns)
    ]
    return pa.Table.from_arrays(arrays, names=[column["label"].decode() for column in columns])


def _array(oid: int, modifier: int, values: list[Any]) -> pa.Array:
    if oid == _NUMERIC:
        return pa.array(values, _decimal(modifier, values))
    if oid == _TIMESTAMP:
        return pa.array([_in_utc(value) for value in values], _ARROW[oid])
    if oid in _ARROW:
        return pa.array(values, _ARROW[oid])
    return pa.array([value if value is None else str(value) for value in values], pa.string())


def _decimal(modifier: int, values: Sequence[Decimal | None]) -> pa.DataType:
    if modifier >= 4:  # PostgreSQL's typmod: four, and above it precision and scale, 16 bits each
        return pa.decimal128((modifier - 4) >> 16, (modifier - 4) & 0xFFFF)
    exponents = (value.as_tuple().exponent for value in values if value is not None)
    decimals = max((-exponent for exponent in exponents if isinstance(exponent, int)), default=0)
    return pa.decimal128(_MOST_DIGITS, max(0, decimals))


def _in_utc(value: datetime | None) -> datetime | None:
    return None if value is None else value.replace(tzinfo=UTC)
