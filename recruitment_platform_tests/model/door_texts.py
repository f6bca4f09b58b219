"""Ways in which tracking events' fields are spelt, good and bad, at every border that a rule of the door has."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product

from recruitment_platform_tests.model.door_reference import EPOCH, MICROSECOND

NOW = datetime(2023, 1, 20, 12, 0, tzinfo=UTC)

# Days on which these zones' clocks were changed, by an hour or (Lord Howe) by half an hour; two zones never do.
CLOCK_CHANGES = {
    "UTC": ("2022-03-27", "2022-12-31"),
    "Europe/Berlin": ("2022-03-27", "2022-10-30"),
    "Asia/Ho_Chi_Minh": ("2022-07-27", "2022-12-31"),
    "America/St_Johns": ("2022-03-13", "2022-11-06"),
    "Australia/Lord_Howe": ("2022-04-03", "2022-10-02"),
}

WHITE = (" ", "\t", "\n", "\v", "\f", "\r", "\u00a0", "\x1f")
NULLS = ("", "NaN", "nan", "null", "NULL", "None", "\\N", "\\n", "NaT", " ", "\t null\n", "\r\n")
NOT_NULLS = ("nil", "inf", "-", "\x00", "nan\x00", "n/a", "\u00a0", "nu ll", "undefined")


def padded(text: str) -> list[str]:
    """The text between white space of every kind, also of kinds that do not count as such."""
    return [f"{white}{text}" for white in WHITE] + [f"{text}{white}" for white in WHITE] + [f" \t{text}\r\n"]


INTS = [
    *(
        "".join(parts)
        for parts in product(("", "+", "-"), ("0", "7", "0188", "2147483647", "2147483648"), ("", ".", ".00"))
    ),
    *(
        f"{number}{tail}"
        for number in (-(2**31), -(2**31) - 1, 2**63, -(2**63) - 1, 2**64, 10**40)
        for tail in ("", ".0")
    ),
    *("1.5", "1.00001", "0.4", "-0.9", "1.0x", "1..0", "1.0.0", ".0", ".", "+", "-", "--1", "+-1", "1-", "- 1"),
    *("1e3", "1E3", "1_000", "1,000", "4,1,2,3,5", "1 2", "0x1F", "0b1", "\u0663", "\uff11", "true", "188\x00", "1\n2"),
    *padded("188.0"),
    *NULLS,
    *NOT_NULLS,
]

BIDS = [
    *(
        "".join(parts)
        for parts in product(
            ("", "+", "-"),
            ("", "0", "7", "007", "999999999999", "1000000000000"),
            ("", ".", ".0", ".5", ".000001", ".0000001", ".1234560000", ".9999994", ".9999999", ".999999"),
        )
    ),
    *(
        f"{sign}{mantissa}{e}{exponent}"
        for sign in ("", "-")
        for mantissa in ("1", "2.5", "1.", "9.99999999999999999", "1.00000000000000001", "0", "0.00", "12", ".5")
        for e in "eE"
        for exponent in (0, 2, "+9", 11, 12, 20, 30, 99, -1, "-02", -5, -6, -7, -12, -13, -30, 100)
    ),
    *("1E-7", "$1", "1,5", "1.5.", "..5", "1.5x", "1 000", "Infinity", "0x1", "\u0663", "1_000", "true"),
    *("0" * 60 + "1.5" + "0" * 60, "9" * 60, "-" + "9" * 60, "0." + "0" * 60 + "1", "9" * 60 + ".0000001"),
    *padded("2.50"),
    *NULLS,
    *NOT_NULLS,
]

JSON_VALUES = [
    *(str(number + step) for number in (0, 2**31, -(2**31), 2**63, -(2**63), 2**64) for step in (-1, 0, 1)),
    *("188.0", "-0", "-0.0", "1e2", "1E+2", "1.88e2", "0.5e1", "18.5", "1e300", "1e400", "-1e400", "1e-400", "1e16"),
    *("2147483647.0", "2147483648.0", "1.0000000000000000000001", "123456789012345678901234567890", "0.0000001e9"),
    *("null", "true", "false", "{}", "[]", "[188]", '{"jobId":188}', "NaN", "Infinity", "-Infinity"),
    *(json.dumps(text) for text in (*INTS, "é", "\U0001f9d1", '"', "\\", "1\x002")),
    *('"\\u0031\\u0038"', '"\\ud83d\\ude00"'),
]
BAD_JSON_VALUES = (
    "",
    "01",
    "+1",
    ".5",
    "5.",
    "'1'",
    "undefined",
    '"\\ud83d"',
    '"\t"',
    '"\\x"',
    "1 2",
    '"',
    "nul",
    "{1}",
)
EDS = [
    *(f'{{"customEvent":"click","jobId":{value},"publisherId":{value}}}' for value in (*JSON_VALUES, *BAD_JSON_VALUES)),
    *('{"jobId":1,"jobId":2}', '{"jobId":"x","jobId":2}', '{"job\\u0049d":7}', '{"jobid":7}', '{" jobId":7}', '{"":7}'),
    *('{"a":{"jobId":7}}', '[{"jobId":7}]', '{"$.jobId":7}', '{"a.jobId":7}', '{"a":[1,{"jobId":7}],"jobId":8}'),
    *(
        "{}",
        " \t\r\n{} ",
        "\v{}",
        "\u00a0{}",
        "\ufeff{}",
        "{}\x00",
        "{}x",
        "{} {}",
        "{",
        "}",
        "null",
        "188",
        '"{}"',
        "[]",
    ),
    *("{'jobId':1}", "{jobId:1}", '{"jobId" : 1 }', '{"jobId":1}//', "nan", "", " ", '{"jobId":1;}', "{,}"),
    '{"note":"' + "x" * 65535 + '","jobId":188}',
]


def time_uuid(received: datetime, tenths: int = 0, rest: str = "8872-72e1f40ca1d2") -> str:
    """The TimeUUID of that instant and so many tenths of a microsecond."""
    ticks = (received - EPOCH) // MICROSECOND * 10 + 122192928000000000 + tenths
    low, middle, high = ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48
    return f"{low:08x}-{middle:04x}-1{high:03x}-{rest}"


def create_times(received: datetime) -> list[str]:
    """The instant's TimeUUID well and badly written, and those of instants at all borders."""
    good = time_uuid(received)
    borders = [NOW + timedelta(days=1, microseconds=step) for step in (-1, 0, 1)]
    borders += [datetime(1582, 10, 15, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), EPOCH]
    return [
        *(time_uuid(at, tenths) for at in borders for tenths in (0, 9)),
        *(f"{good[:19]}{variant}{good[20:]}" for variant in "0789abcdefgABC"),
        *(f"{good[:14]}{version}{good[15:]}" for version in "0123456789abc"),
        *(good.upper(), good[:-1], good + "0", good.replace("-", ""), f"{{{good}}}", f"urn:uuid:{good}", "-" * 36),
        *(
            good.replace("-", "_"),
            good.replace("8", "g"),
            good.replace("8", "\uff18"),
            f"{good}\x00",
            good[1:] + good[0],
        ),
        "ffffffff-ffff-1fff-bfff-ffffffffffff",
        *padded(good),
        *NULLS,
        *NOT_NULLS,
    ]


ZONES = {
    **dict.fromkeys(("", "Z", " Z", "UTC", " UTC", "+00", "-00:00"), timedelta(0)),
    **{"+05:30": timedelta(hours=5, minutes=30), " +0700": timedelta(hours=7), "-03": timedelta(hours=-3)},
    **{" -02:30": timedelta(hours=-2, minutes=-30), "+23:59": timedelta(hours=23, minutes=59)},
}
BAD_ZONES = (
    "z",
    "utc",
    "GMT",
    "+7",
    "+070",
    "+24:00",
    "+05:60",
    "+05:3",
    "--03",
    "+ 03",
    "  Z",
    "+05:30:00",
    " Europe/Berlin",
)
BAD_CLOCKS = (
    *(
        "2022-02-29 10:00",
        "2022-02-30 10:00:00",
        "2022-13-01 10:00",
        "2022-00-10 10:00",
        "2022-04-31T10:00",
        "2022-07-27",
    ),
    *("2022-07-27 24:00", "2022-07-27 23:60", "2022-07-27 23:59:60", "2022-07-27 10:00:00.", "2022-07-27  10:00"),
    *("2022-7-27 10:00", "22-07-27 10:00", "27.07.2022 10:00", "2022-07-27 10", "2022-07-27 1:00", "2022/07/27 10:00"),
    *("0000-01-01 00:00", "0001-01-01 00:00", "0001-01-01 00:00+00:01", "0001-01-01 00:00-00:01", "12022-07-27 10:00"),
    *("9999-12-31 23:59:59.9999999", "9999-12-31 23:59:59.999999-00:01", "9999-12-31 23:59", "-2022-07-27 10:00"),
    *(
        "infinity",
        "-infinity",
        "epoch",
        "now",
        "today",
        "2022-07-27t10:00",
        "2022-07-27 10:00:00,5",
        "2022-02-29 (BC) 10:00",
    ),
    *(
        "\uff12\uff10\uff12\uff12-07-27 10:00",
        "2022-07-27 10:00\x00",
        "1582-10-04 00:00",
        "1900-02-29 00:00",
        "2000-02-29 00:00",
    ),
)
EPOCH_BORDERS = (
    0,
    10**11,
    10**14,
    253402300800,
    253402300800 * 10**3,
    253402300800 * 10**6,
    62135596800 * 10**6,
    2**63,
)
EPOCHS = [
    f"{sign}{abs(border + step)}{fraction}"
    for border, step, sign, fraction in product(
        EPOCH_BORDERS, (-1, 0, 1), ("", "-", "+"), ("", ".", ".5", ".999999999", ".0000009", ".000x")
    )
]


def clocks(at: datetime) -> Iterator[str]:
    """The instant as text, in every form, with and without a fraction and an offset."""
    for separator, zone in product(" T", ZONES):
        local = at + ZONES[zone]
        for clock in ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H:%M:%S.%f0000009", "%H:%M:%S.%f99"):
            yield local.strftime(f"%Y-%m-%d{separator}{clock}") + zone
        yield local.strftime(f"%Y-%m-%d{separator}%H:%M:%S.") + f"{local:%f}"[:3] + zone


def client_times(received: datetime) -> list[str]:
    """Times at and beside the borders of what is believed, in every form, and what is no time at all."""
    texts = []
    for away in (timedelta(0), timedelta(days=-7), timedelta(minutes=5), timedelta(hours=-9)):
        for step in (-1, 0, 1):
            at = received + away + step * MICROSECOND
            micros = (at - EPOCH) // MICROSECOND
            texts += [str(micros), f"{micros}.0", f"{micros // 1000}.{micros % 1000:03d}", str(micros // 10**3)]
            texts += [f"{micros // 10**6}.{micros % 10**6:06d}", str(micros // 10**6), f"{micros // 10**6}."]
        texts += clocks(received + away)
    plain = f"{received:%Y-%m-%d %H:%M:%S.%f}"
    return [*texts, *(plain + zone for zone in BAD_ZONES), *BAD_CLOCKS, *EPOCHS, *padded(plain), *NULLS, *NOT_NULLS]
