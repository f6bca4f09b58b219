"""From Redshift's SQL to PostgreSQL's, and the refusal of what Redshift refuses.

What belongs here: the judge (sqlfluff's Redshift dialect, which is not our code), what PostgreSQL would take and
Redshift would not, and the few rewritings without which PostgreSQL would not run it. What does not: COPY (`copying`).
"""

import re
import threading
from functools import lru_cache

from sqlfluff.core import Linter

from recruitment_platform_tests.redshift_gate.wire import GateError

# Text that is no code: literals, quoted names, comments.
_NO_CODE = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.S)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.S)

_NOT_REDSHIFT = re.compile(
    r"\bon\s+conflict\b|\breturning\b|\bcreate\s+(?:unique\s+)?index\b|\bfrom\s+stdin\b|\bto\s+stdout\b|\bjsonb\b"
    r"|\buuid\b|\b(?:big)?serial\b|\bbytea\b|\w\s*\[\s*\]|\bunnest\s*\(|\bfilter\s*\(\s*where\b|\bdistinct\s+on\b"
    r"|\blateral\b|\bstring_agg\s*\(|\bfor\s+update\b|\bskip\s+locked\b|\bnowait\b|\bcreate\s+extension\b|\bcheck\s*\("
    r"|\bcreate\s+trigger\b|\bcreate\s+materialized\s+view\s+if\b|\bexclude\s+using\b|\bany\s*\(|\blisten\b|\bnotify\b",
    re.I,
)
_NOT_IN_A_TRANSACTION = re.compile(
    r"^\s*(create\s+external\s+table|create\s+(?:external\s+)?database|drop\s+database|vacuum"
    r"|alter\s+table\s+\S+\s+append|alter\s+table\s+\S+\s+add\s+(?:if\s+not\s+exists\s+)?partition)\b",
    re.I,
)
_COMMITS = re.compile(r"^\s*truncate\b", re.I)
_CREATE_TABLE = re.compile(r"^\s*create\s+(?:(?:local\s+)?temp(?:orary)?\s+)?table\b", re.I)
_VARCHAR = re.compile(r"\b(\w+)\s+(?:varchar|character\s+varying)\s*\(\s*(\d+)\s*\)", re.I)
# What Redshift has beside columns, and the keys that it takes note of but does not enforce.
_LAYOUT = (
    re.compile(r",\s*(?:primary\s+key|unique)\s*\([^)]*\)|\bprimary\s+key\b|\bunique\b", re.I),
    re.compile(r"\bdiststyle\s+(?:all|even|key|auto)\b", re.I),
    re.compile(r"\bdistkey(?:\s*\([^)]*\))?", re.I),
    re.compile(r"\b(?:compound\s+|interleaved\s+)?sortkey(?:\s*(?:auto\b|\([^)]*\)))?", re.I),
    re.compile(r"\bencode\s+\w+", re.I),
)
_NAMES = {
    r"\bsys_load_error_detail\b": "redshift_gate.sys_load_error_detail",
    r"\bstl_load_errors\b": "redshift_gate.stl_load_errors",
    r"\bpg_last_copy_count\s*\(\s*\)": "CAST(coalesce(nullif(current_setting('redshift_gate.copied', true), ''), '-1')"
    " AS BIGINT)",
}

_linter = Linter(dialect="redshift")
_one_at_a_time = threading.Lock()


def code_of(sql: str) -> str:
    """The statement without comments."""
    return _COMMENT.sub(" ", sql).strip()


def to_postgres(sql: str, in_transaction: bool) -> str:
    """The statement as PostgreSQL runs it; GateError where Redshift would refuse it."""
    bare = _NO_CODE.sub(" ", sql)
    problem = syntax_error(sql)
    if problem:
        raise GateError("42601", f"syntax error: {problem}")
    foreign = _NOT_REDSHIFT.search(bare)
    if foreign:
        raise GateError("42601", f"Redshift knows no {' '.join(foreign[0].split()).upper()}")
    alone = _NOT_IN_A_TRANSACTION.match(bare)
    if alone:
        name = " ".join(alone[1].split()).upper()
        if in_transaction:
            raise GateError("25001", f"{name} cannot run inside a transaction block")
        raise GateError("0A000", f"the gate has no {name}")
    if in_transaction and _COMMITS.match(bare):
        raise GateError("25001", "TRUNCATE commits the transaction it runs in, and cannot be undone")
    sql = _COMMENT.sub(" ", sql)
    if _CREATE_TABLE.match(sql):
        sql = _table(sql)
    for name, replacement in _NAMES.items():
        sql = re.sub(name, replacement, sql, flags=re.I)
    return sql


@lru_cache(maxsize=4096)
def _violation(code: str) -> str:
    with _one_at_a_time:
        violations = _linter.parse_string(f"{code};\n").violations
    return " ".join(violations[0].desc().split())[:200] if violations else ""


def syntax_error(sql: str) -> str:
    """What sqlfluff's Redshift dialect cannot read; empty where it can read all."""
    code = re.sub(r"\$\d+", "'x'", code_of(sql)).rstrip("; \n")
    return _violation(code) if code else ""


def _table(sql: str) -> str:
    """VARCHAR is measured in bytes, as Redshift does, and what lays out the table among nodes is left out."""
    for part in _LAYOUT:
        sql = part.sub(" ", sql)
    return _VARCHAR.sub(r"\1 varchar(\2) CHECK (octet_length(\1) <= \2)", sql)
