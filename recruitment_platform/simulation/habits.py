"""What visitors do and what their browsers say, shaped on a real site: shares, and the texts there are to choose from.

What belongs here: what depends on no day and no seed. What does not: choosing from it (`visits`), events (`events`).
"""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recruitment_platform.simulation.chance import Guided, guided
from recruitment_platform.simulation.text import pooled

KIND_SHARES = {
    "": 0.519,
    "click": 0.316,
    "clicks": 0.004,
    "alive": 0.12,
    "conversion": 0.02,
    "unqualified": 0.012,
    "interview_scheduled": 0.005,
    "qualified": 0.003,
    "redirect": 0.0005,
    "superpixel": 0.0005,
}
KINDS = tuple(KIND_SHARES)
CLICKS = (KINDS.index("click"), KINDS.index("clicks"))

CARRIERS: Mapping[str, tuple[float, float, float, float, float]] = {
    "": (0.72, 0.28, 0, 0, 0),
    "click": (0.003, 0.05, 0.377, 0.56, 0.01),
    "clicks": (0.003, 0.05, 0.377, 0.56, 0.01),
    "alive": (0.05, 0.01, 0, 0.94, 0),
    "conversion": (0.1, 0.05, 0.15, 0.7, 0),
    "unqualified": (0.1, 0.1, 0.15, 0.65, 0),
    "interview_scheduled": (0, 0, 0.1, 0.9, 0),
    "qualified": (0, 0.5, 0.2, 0.3, 0),
    "redirect": (1, 0, 0, 0, 0),
    "superpixel": (1, 0, 0, 0, 0),
}
"""Shares of where each kind carries its job: nowhere, in `job_id`, in both alike, in `ed`, in both but differently."""

BIDS = {0: 0.48, 1_000_000: 0.32, 2_000_000: 0.17, 7_000_000: 0.02, 350_000: 0.004, 1_255_000: 0.003, 1: 0.003}
"""Micros and their shares, where an event has a bid; 1.255 and 0.000001 show whether money is exact."""

UNKNOWN_SHARE = 0.03
"""Of events whose job does not exist, where that fault is on."""

SITE = "https://www.recruitment.example/candidate-portal"
PAGES = (
    "/",
    "/job",
    "/job?what=developer&where=",
    "/profile",
    "/messages",
    "/job?what=k%E1%BA%BF%20to%C3%A1n",
    "/about",
)
TITLES = {
    "CandidatePortal": 0.9,
    "Find a job, find a team": 0.04,
    'Careers at "North & Sons"': 0.02,
    "Tìm việc làm — kế toán": 0.03,
    "求人\t一覧": 0.01,
}

DEVICES = tuple(
    (f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) {agent}", name, depth, screen, view, mobile)
    for system, screen, view, depth, mobile in (
        ("Windows NT 10.0; Win64; x64", "1920x1080", "1920x944", 24, "false"),
        ("Windows NT 10.0; Win64; x64", "1366x768", "1366x625", 24, "false"),
        ("Macintosh; Intel Mac OS X 10_15_7", "1440x900", "1440x797", 30, "false"),
        ("X11; Linux x86_64", "1920x1080", "1920x976", 24, "false"),
        ("Linux; Android 13; SM-A536E", "412x915", "412x780", 24, "true"),
        ("iPhone; CPU iPhone OS 16_5 like Mac OS X", "390x844", "390x664", 32, "true"),
    )
    for agent, name in (
        ("Chrome/118.0.0.0 Safari/537.36", "Chrome 118"),
        ("Chrome/117.0.0.0 Safari/537.36 Edg/117.0.2045.60", "Edge 117"),
        ("Version/16.5 Safari/604.1", "Safari 16"),
        ("Chrome/96.0.4664.45 Safari/537.36", "Chrome 96"),
    )
)
"""(ua, bn, cd, sr, vp, md) of the devices in use."""

OFFSETS = (-420,) * 40 + (0, 0, 240, -330, -600, 300)
UTM = (None,) * 60 + ("newsletter", "autumn fair", "html", "tuyển dụng")

ENCODINGS = {"UTF-8": 0.97, "utf-8": 0.02, None: 0.01}
REFERRERS = (None,) * 8 + tuple(SITE + page for page in PAGES)

CHOSEN: Mapping[str, Mapping[str, Sequence[str | None]]] = {
    "kinds": {"custom_track": [name or None for name in KINDS]},
    "devices": {
        name: [str(device[place]) for device in DEVICES]
        for name, place in (("ua", 0), ("bn", 1), ("sr", 3), ("vp", 4), ("md", 5))
    },
    "encodings": {"de": list(ENCODINGS)},
    "titles": {"dt": list(TITLES)},
    "referrers": {"rl": REFERRERS},
    "utms": {
        "utm_source": UTM,
        "utm_medium": [None if name is None else "email" for name in UTM],
        "utm_campaign": UTM[::-1],
    },
}
"""The columns of text that follow from each choice, each with what it says for every one that there is."""

JOB_FORMS = {'"{}"': 0.55, "{}": 0.43, '"{}.0"': 0.005, " {} ": 0.005, "{}.0": 0.01}
"""How the custom event spells its job; its publisher is in one of the first two forms."""

NO_JOBS = {"": 0.8, ',"jobId":null': 0.1, ',"jobId":""': 0.1}
NO_PUBLISHERS = {"": 0.2, ',"publisherId":"4,1,2,3,5"': 0.6, ',"publisherId":null': 0.1, ',"publisherId":"direct"': 0.1}
STAYED = (',"stayed_alive":30', ',"stayed_alive":60')

OTHER_PAGE = ',"referrer":{"jobId":999,"publisherId":9}'
"""Only the first level of a custom event counts: this job is another page's."""

OLDER = '{"customevent":"detail","jobid":5}'
"""The whole custom event of an older pixel, whose lower case keys name nothing."""


class Parts(NamedTuple):
    """The parts of custom events: their bytes, where each begins and the last one ends, and the first of each sort.

    First come those with which the kinds of event begin. A job and a publisher stand between two parts.
    """

    octets: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int32]
    older: int
    other_page: int
    before_job: int
    after_job: int
    no_job: int
    before_publisher: int
    after_publisher: int
    no_publisher: int
    user: int
    stayed: int
    end: int


class Habits(NamedTuple):
    """What there is to choose from, for loops: shares as `guided`, and of `CHOSEN` all columns one after the other.

    `choices` is how many there are of each of `CHOSEN`, `chosen_by` by which of these a column goes, and `codes` the
    column's code for each of them.
    """

    kinds: Guided
    carriers: npt.NDArray[np.float64]
    job_forms: Guided
    no_jobs: Guided
    no_publishers: Guided
    bids: Guided
    micros: npt.NDArray[np.int64]
    encodings: Guided
    titles: Guided
    is_click: npt.NDArray[np.bool_]
    alive: int
    depths: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    choices: npt.NDArray[np.int64]
    chosen_by: npt.NDArray[np.int64]
    codes: npt.NDArray[np.int32]
    parts: Parts


@cache
def habits() -> Habits:
    """All of it."""
    kinds, job_forms, no_jobs, no_publishers, bids, encodings, titles = (
        guided(tuple(shares.values()))
        for shares in (KIND_SHARES, JOB_FORMS, NO_JOBS, NO_PUBLISHERS, BIDS, ENCODINGS, TITLES)
    )
    columns = [list(texts.values()) for texts in CHOSEN.values()]
    codes = [pooled(tuple(texts))[0] for of_choice in columns for texts in of_choice]
    most = max(map(len, codes))
    return Habits(
        kinds=kinds,
        carriers=np.cumsum([CARRIERS[name] for name in KINDS], axis=1),
        job_forms=job_forms,
        no_jobs=no_jobs,
        no_publishers=no_publishers,
        bids=bids,
        micros=np.array(list(BIDS)),
        encodings=encodings,
        titles=titles,
        is_click=np.isin(np.arange(len(KINDS)), CLICKS),
        alive=KINDS.index("alive"),
        depths=np.array([depth for _, _, depth, *_ in DEVICES]),
        offsets=np.array(OFFSETS),
        choices=np.array([len(texts[0]) for texts in columns]),
        chosen_by=np.array([number for number, texts in enumerate(columns) for _ in texts]),
        codes=np.stack([np.pad(of_column, (0, most - len(of_column))) for of_column in codes]),
        parts=_parts(),
    )


def _parts() -> Parts:
    job, publisher = (
        [f',"{key}":{form}'.split("{}") for form in forms]
        for key, forms in (("jobId", JOB_FORMS), ("publisherId", list(JOB_FORMS)[:2]))
    )
    sorts: list[Sequence[str]] = [
        [f'{{"customEvent":"{name}"' for name in KINDS],
        [OLDER],
        [OTHER_PAGE],
        [before for before, _ in job],
        [after for _, after in job],
        list(NO_JOBS),
        [before for before, _ in publisher],
        [after for _, after in publisher],
        list(NO_PUBLISHERS),
        [',"userId":', ""],
        STAYED,
        ["}"],
    ]
    texts = [text.encode() for sort in sorts for text in sort]
    ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    _, *firsts, _ = accumulate(map(len, sorts), initial=0)
    return Parts(np.frombuffer(b"".join(texts), np.uint8), ends, *firsts)
