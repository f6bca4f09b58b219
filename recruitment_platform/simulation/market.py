"""The market of the simulation: companies, campaigns, jobs, publishers, as the site's operational tables hold them.

Faker makes the names, seeded; sizes are those of a real site. What belongs here: what is true of the market before any
event. What does not: events (`traffic`), or how operational rows are stored (`resources`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt
from faker import Faker

Ints = npt.NDArray[np.int64]

NONE = np.int64(np.iinfo(np.int64).min)
"""Stands for null in arrays of ids."""

JOBS, BUSY_JOBS, GROUPED_JOBS = 1_868, 118, 313
COMPANIES, CAMPAIGNS, GROUPS, PUBLISHERS = 106, 193, 43, 29
CITIES = 63
CATEGORIES = {
    "Technology": ("Software", "Data", "Infrastructure", "Support"),
    "Sales": ("Field sales", "Inside sales", "Retail"),
    "Finance": ("Accounting", "Audit", "Banking"),
    "Health": ("Nursing", "Pharmacy", "Care"),
    "Logistics": ("Driving", "Warehouse", "Planning"),
    "Hospitality": ("Kitchen", "Service", "Front desk"),
    "Education": ("Teaching", "Training"),
    "Engineering": ("Civil", "Electrical", "Mechanical"),
    "Marketing": ("Content", "Brand", "Performance"),
    "Public service": ("Administration", "Security"),
}
"""Major categories, each with its minor ones."""

BUSY_SHARE = 0.2
"""Share of the busiest job in the traffic."""


@dataclass(frozen=True)
class JobTerms:
    """Campaign, group and company of every job, in the order of `Market.job_ids`; `NONE` where a job has none."""

    campaign_id: Ints
    group_id: Ints
    company_id: Ints


@dataclass(frozen=True)
class Market:
    """The market. `tables` are operational rows as exports write them: text, empty for null.

    `busy` are the positions in `job_ids` (ascending) of the jobs that get traffic, the busiest first, and
    `busy_weights` their shares; `publisher_ids` starts with the one that carries most. `changed_jobs` are the rows of
    the jobs that change, after the change.
    """

    job_ids: Ints
    terms: JobTerms
    changed_terms: JobTerms
    busy: Ints
    busy_weights: npt.NDArray[np.float64]
    publisher_ids: Ints
    campaign_ids: Ints
    group_ids: Ints
    tables: Mapping[str, Sequence[Mapping[str, str]]]
    changed_jobs: Sequence[Mapping[str, str]]

    @cached_property
    def strangers(self) -> Ints:
        """Ids of no job: in the gaps, after the last one, and what no id can be."""
        last = int(self.job_ids[-1])
        gaps = np.setdiff1d(np.arange(1, last), self.job_ids)
        return np.concatenate([gaps[:20], last + np.arange(1, 20), [0, -1, 2**31 - 1]])


def make_market(seed: int, opening: date, currency_spellings: Sequence[str]) -> Market:
    """The market of that seed, as it is on the opening day.

    `currency_spellings` are the spellings of the platform's currency that campaigns use, the common one first.
    """
    rng = np.random.default_rng([seed, 0])
    faker = Faker("en_US")
    faker.seed_instance(seed)

    company_ids = _ids(rng, COMPANIES)
    campaign_ids = _ids(rng, CAMPAIGNS)
    campaign_company = _skewed(rng, company_ids, CAMPAIGNS)
    group_ids = _ids(rng, GROUPS)
    group_campaign = rng.integers(0, CAMPAIGNS, GROUPS)

    job_ids = _ids(rng, JOBS)
    job_campaign = np.searchsorted(campaign_ids, _skewed(rng, campaign_ids, JOBS))
    job_group = np.full(JOBS, NONE)
    grouped = rng.choice(JOBS, GROUPED_JOBS, replace=False)
    picked = rng.integers(0, GROUPS, GROUPED_JOBS)
    job_group[grouped] = group_ids[picked]
    job_campaign[grouped] = group_campaign[picked]
    terms = JobTerms(campaign_ids[job_campaign], job_group, campaign_company[job_campaign])
    # Some jobs belong to another company than their campaign's, some to no campaign: facts must ask the job.
    elsewhere = rng.random(JOBS) < 0.05
    terms.company_id[elsewhere] = rng.choice(company_ids, int(elsewhere.sum()))
    terms.campaign_id[(rng.random(JOBS) < 0.02) & (job_group == NONE)] = NONE

    busy = _busy(rng, job_group)
    changed = _changing(rng, busy)
    changed_terms = _changed_terms(rng, terms, changed, campaign_ids, group_ids, company_ids)
    jobs = _jobs(rng, faker, opening, job_ids, terms)
    ranks = np.arange(1, BUSY_JOBS + 1, dtype=np.float64)
    weights = ranks ** -_exponent(BUSY_SHARE)
    publisher_ids = _ids(rng, PUBLISHERS)
    return Market(
        job_ids=job_ids,
        terms=terms,
        changed_terms=changed_terms,
        busy=busy,
        busy_weights=weights / weights.sum(),
        publisher_ids=publisher_ids,
        campaign_ids=campaign_ids,
        group_ids=group_ids,
        tables={
            "company": [
                {"id": str(company), "name": faker.company(), "status": "1", **_dates(rng, opening)}
                for company in company_ids
            ],
            "campaign": [
                {
                    "id": str(campaign),
                    "campaign_name": faker.catch_phrase(),
                    "unit_budget": currency_spellings[int(rng.random() < 0.05) % len(currency_spellings)],
                    "budget_total": str(rng.integers(10, 2_000) * 10),
                    "campaign_status": str(rng.integers(0, 4)),
                    "company_id": str(company),
                    **_dates(rng, opening),
                }
                for campaign, company in zip(campaign_ids, campaign_company, strict=True)
            ],
            "group": [
                {
                    "id": str(group),
                    "name": faker.bs().capitalize(),
                    "status": str(rng.integers(1, 3)),
                    "company_id": str(campaign_company[campaign]),
                    "campaign_id": str(campaign_ids[campaign]),
                    **_dates(rng, opening),
                }
                for group, campaign in zip(group_ids, group_campaign, strict=True)
            ],
            "job": jobs,
            "master_publisher": [
                {
                    "id": str(publisher),
                    "publisher_name": f"{faker.last_name()} {('Jobs', 'Careers', 'Works')[publisher % 3]}",
                    "publisher_type": str(rng.integers(0, 2)),
                    "publisher_status": str(rng.integers(0, 2)),
                    **_dates(rng, opening),
                }
                for publisher in publisher_ids
            ],
            "master_city": [{"id": str(city + 1), "city_name": faker.city()} for city in range(CITIES)],
            "job_location": [
                {"id": str(number + 1), "job_id": str(job), "city_id": str(rng.integers(1, CITIES + 1))}
                for number, job in enumerate(job_ids)
            ],
            "master_major_category": [
                {"id": str(number), "major_category_name": name} for number, name in enumerate(CATEGORIES, 1)
            ],
            "master_minor_category": [
                {"id": str(number), "minor_category_name": minor, "major_id": str(major)}
                for number, (major, minor) in enumerate(_minors(), 1)
            ],
        },
        changed_jobs=[
            {
                **jobs[position],
                "campaign_id": _text(changed_terms.campaign_id[position]),
                "group_id": _text(changed_terms.group_id[position]),
                "company_id": _text(changed_terms.company_id[position]),
            }
            for position in changed
        ],
    )


def terms_at(market: Market, jobs: Ints, changed: npt.NDArray[np.bool_]) -> JobTerms:
    """Campaign, group and company of each of these jobs, before or after the change; `NONE` for unknown jobs."""
    end = int(market.job_ids[-1]) + 1
    position_of = np.full(end + 1, JOBS)
    position_of[market.job_ids] = np.arange(JOBS)
    position = position_of[jobs.clip(0, end)]
    position[changed] += JOBS + 1

    def term(before: Ints, after: Ints) -> Ints:
        terms: Ints = np.concatenate([before, [NONE], after, [NONE]])[position]
        return terms

    return JobTerms(
        term(market.terms.campaign_id, market.changed_terms.campaign_id),
        term(market.terms.group_id, market.changed_terms.group_id),
        term(market.terms.company_id, market.changed_terms.company_id),
    )


def _ids(rng: np.random.Generator, count: int) -> Ints:
    """Ids ascending from 1, with gaps as real tables have them."""
    return 1 + np.cumsum(np.concatenate([[0], 1 + rng.poisson(0.3, count - 1)]))


def _skewed(rng: np.random.Generator, ids: Ints, count: int) -> Ints:
    """So many of the ids: a few of them often, most seldom."""
    weights = 1 / np.arange(1, len(ids) + 1)
    return rng.choice(rng.permutation(ids), count, p=weights / weights.sum())


def _exponent(top_share: float) -> float:
    """The exponent of Zipf's law at which the first of the busy jobs has this share; by bisection."""
    ranks = np.arange(1, BUSY_JOBS + 1, dtype=np.float64)
    low, high = 0.0, 4.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 / (ranks**-middle).sum() < top_share else (low, middle)
    return low


def _busy(rng: np.random.Generator, job_group: Ints) -> Ints:
    """Positions of the jobs with traffic: a third of them have a group, more often than jobs at large."""
    with_group = rng.choice(np.flatnonzero(job_group != NONE), BUSY_JOBS // 3, replace=False)
    without = rng.choice(np.flatnonzero(job_group == NONE), BUSY_JOBS - len(with_group), replace=False)
    return rng.permutation(np.concatenate([with_group, without]))


def _changing(rng: np.random.Generator, busy: Ints) -> Ints:
    """Positions of the jobs that change: the busiest, every third of the others, and as many that get no traffic."""
    idle = np.setdiff1d(np.arange(JOBS), busy)
    return np.concatenate([busy[::3], rng.choice(idle, len(busy) // 3, replace=False)])


def _changed_terms(
    rng: np.random.Generator,
    terms: JobTerms,
    changed: Ints,
    campaign_ids: Ints,
    group_ids: Ints,
    company_ids: Ints,
) -> JobTerms:
    """Every job that changes gets another campaign; some get or lose a group, some get another company."""
    campaign, group, company = terms.campaign_id.copy(), terms.group_id.copy(), terms.company_id.copy()
    former = np.searchsorted(campaign_ids, np.where(campaign[changed] == NONE, campaign_ids[0], campaign[changed]))
    campaign[changed] = campaign_ids[(former + rng.integers(1, CAMPAIGNS, len(changed))) % CAMPAIGNS]
    group[changed] = np.where(rng.random(len(changed)) < 0.5, NONE, rng.choice(group_ids, len(changed)))
    company[changed] = np.where(rng.random(len(changed)) < 0.5, company[changed], rng.choice(company_ids, len(changed)))
    return JobTerms(campaign, group, company)


def _jobs(
    rng: np.random.Generator,
    faker: Faker,
    opening: date,
    job_ids: Ints,
    terms: JobTerms,
) -> list[dict[str, str]]:
    minors = len(_minors())
    return [
        {
            "id": str(job),
            "title": faker.job(),
            "status": str(rng.choice([1, 2, 3, 5], p=[0.5, 0.2, 0.29, 0.01])),
            "budget": f"{rng.integers(5, 500)}.50" if rng.random() < 0.1 else "",
            "group_id": _text(terms.group_id[position]),
            "minor_id": str(rng.integers(1, minors + 1)),
            "campaign_id": _text(terms.campaign_id[position]),
            "company_id": _text(terms.company_id[position]),
            **_dates(rng, opening),
        }
        for position, job in enumerate(job_ids)
    ]


def _minors() -> list[tuple[int, str]]:
    """(id of the major category, name) of every minor category."""
    return [(number, minor) for number, minors in enumerate(CATEGORIES.values(), 1) for minor in minors]


def _dates(rng: np.random.Generator, opening: date) -> dict[str, str]:
    """Columns that every operational table carries: created and modified some time before the opening."""
    modified = datetime.combine(opening, time(0)) - timedelta(seconds=int(rng.integers(3_600, 90 * 86_400)))
    created = modified - timedelta(microseconds=int(rng.integers(0, 300 * 86_400_000_000)))
    return {
        "is_active": "1" if rng.random() < 0.8 else "0",
        "created_date": created.isoformat(" "),
        "last_modified_date": modified.isoformat(" "),
    }


def _text(value: np.int64) -> str:
    """An id as exports write it: empty for null."""
    return "" if value == NONE else str(value)
