"""Whether columns are the contract's: names, order, types.

What belongs here: the comparison of an Arrow schema (of a Parquet file's footer, of a table) with a contract's table.
What does not: what is done about a difference.
"""

import pyarrow as pa

from recruitment_platform.model.contract import Table
from recruitment_platform.model.schemas import arrow_schema


def differences(found: pa.Schema, table: Table) -> list[str]:
    """What differs, one short text a column; empty where names, order and types are the contract's.

    Types that differ only in how they are encoded are the same: timestamps of any unit and zone (Spark's INT96 among
    them), large and dictionary encoded text. Whether a column may be null is not compared: writers rarely say.
    """
    wanted = {field.name: _plain(field.type) for field in arrow_schema(table)}
    given = {field.name: _plain(field.type) for field in found}
    problems = [f"column {name} is missing" for name in wanted if name not in given]
    problems += [f"column {name} is not in the contract" for name in given if name not in wanted]
    problems += [
        f"column {name} is {given[name]} instead of {kind}"
        for name, kind in wanted.items()
        if name in given and given[name] != kind
    ]
    if len(found) != len(given):
        problems.append("a column's name repeats")
    if not problems and list(given) != list(wanted):
        problems.append(f"the columns' order is {', '.join(given)} instead of {', '.join(wanted)}")
    return problems


def _plain(data_type: pa.DataType) -> str:
    if pa.types.is_dictionary(data_type):
        data_type = data_type.value_type
    if pa.types.is_timestamp(data_type):
        return "timestamp"
    if pa.types.is_large_string(data_type) or pa.types.is_string_view(data_type):
        return "string"
    return str(data_type)
