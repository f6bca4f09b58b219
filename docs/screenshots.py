"""Takes the README's pictures of Dagster's page, from a home that holds a week.

What belongs here: what is opened, and how it is brought into view. What does not: starting the browser
(`recruitment_platform_tests.browser`). How to remake the pictures:

    recruitment-platform simulate --from FIRST --to DAY --events-per-day 20000    # six days, until yesterday
    recruitment-platform run --from FIRST --to DAY
    recruitment-platform close --through SECOND
    RECRUITMENT_DAYS_PER_RUN=2 RECRUITMENT_LATE_DATA_INTERVAL=20 recruitment-platform ui
    recruitment-platform simulate --from YESTERDAY --to YESTERDAY    # late events too: the sensor asks for their days
    python -m docs.screenshots http://127.0.0.1:3000    # once its runs, and a backfill of three days, have ended

Pictures of what is not there are left as they are: `backfill_followed` where no backfill was launched, `closed_day`
where nothing was closed, `failed_day` where no day has failed. To make one fail, change a number of the fact table by
hand, by any client of DuckDB, and run the day again.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import requests
from PIL import Image
from playwright.sync_api import Browser, Page

from recruitment_platform_tests.browser import HEIGHT, NAMES, WIDTH, chromium, executable, opened

IMAGES = Path(__file__).parent / "images"
FACTS = "redshift_fact_events"
WEEK = 7
LOOKS = 40
PAUSE_MS = 400

MATERIALIZED = """
query {
  assetNodeOrError(assetKey: {path: ["redshift_fact_events"]}) {
    ... on AssetNode {
      assetMaterializations(limit: 1000) { partition metadataEntries { label } }
      assetPartitionStatuses { ... on TimePartitionStatuses { ranges { status startKey } } }
    }
  }
}
"""
RUNS = """
query {
  runsOrError(filter: {pipelineName: "daily_facts", statuses: [SUCCESS]}, limit: 100) {
    ... on Runs { results { runId tags { key } } }
  }
}
"""
RANGE_START = "dagster/asset_partition_range_start"
NEWEST_BACKFILL = """
query {
  partitionBackfillsOrError(limit: 1) {
    ... on PartitionBackfills { results { id } }
  }
}
"""


@dataclass(frozen=True)
class Shown:
    """What the pictures are taken of: the page's address, the published days, a run of several days, and a backfill.

    `failed` is a day that failed, `closed` one whose facts are adjusted; both, and `backfill`, are empty where none is.
    """

    address: str
    published: tuple[str, ...]
    run_id: str
    backfill: str
    failed: str
    closed: str

    @property
    def last(self) -> str:
        """The newest day that is over."""
        return self.published[-1]

    def days(self, count: int) -> str:
        """The newest days, as the page's fields take them."""
        return f"[{self.published[-count]}...{self.last}]"

    def day(self, day: str) -> str:
        """The path of a day of the fact table, beside the week's others."""
        return f"assets/{FACTS}?view=partitions&partition={day}&default_range={self.days(WEEK)}"


@dataclass(frozen=True)
class Picture:
    """A picture: its file's name, the page's path (empty where there is none), what brings it into view, its height."""

    name: str
    path: Callable[[Shown], str]
    show: Callable[[Page, Shown], None]
    height: int = HEIGHT


def lineage(page: Page, _: Shown) -> None:
    """All groups expanded, the cards short enough for the whole graph to fit."""
    page.get_by_text("Hide navigation").click()
    _icon(page, "config").click()
    dialog = page.get_by_role("dialog")
    for facet in ("Sync status tags", "Latest event", "Status", "Automation", "Partitions"):
        dialog.get_by_text(facet, exact=True).first.click()
    dialog.get_by_role("button", name="Save").click()
    page.locator('button:has([aria-label^="panel_show"])').last.click()  # the list of assets at the left
    _settle(page)
    _icon(page, "settings").last.click()
    page.get_by_role("menuitem", name="Expand all groups").click()
    page.get_by_text(FACTS, exact=True).first.wait_for()
    _settle(page)
    page.mouse.dblclick(WIDTH - 250, HEIGHT)  # fits the graph to the window


def day(page: Page, _: Shown) -> None:
    """The day's figures, the plot first."""
    page.locator('img[alt="clicks and spend by hour"]').wait_for()


def failed_day(page: Page, shown: Shown) -> None:
    """What a failed day says, its former facts below."""
    page.get_by_text("failed, and did not materialize this asset").wait_for()
    day(page, shown)


def closed_day(page: Page, _: Shown) -> None:
    """The figures as they were billed, and what is adjusted beside them."""
    page.get_by_text("adjustment_spend").wait_for()


def columns(page: Page, _: Shown) -> None:
    """The state of the asset, its description, and the columns with their documentation."""
    page.get_by_text("Day of the event time").wait_for()


def freshness(page: Page, _: Shown) -> None:
    """By when the facts must be there, and whether they are."""
    page.get_by_text("Freshness policy").last.evaluate("title => title.scrollIntoView({block: 'start'})")


def column_lineage(page: Page, _: Shown) -> None:
    """The columns that are computed, each with those it comes from."""
    page.locator("tr", has_text="dim_jobs.campaign_id").first.evaluate("row => row.scrollIntoView({block: 'start'})")


def checks(page: Page, _: Shown) -> None:
    """The checks by name, one of them opened."""
    page.get_by_text("reconciles", exact=True).first.click()
    page.get_by_text("days_checked").first.wait_for()


def run(page: Page, _: Shown) -> None:
    """The run's steps, and its events of materialized days."""
    filtered = page.get_by_placeholder("Filter…")
    filtered.fill("type:materialization")
    filtered.press("Enter")
    page.get_by_text("dagster/partition_row_count").last.wait_for()


def backfill(page: Page, shown: Shown) -> None:
    """The dialog that launches a backfill, three days filled in."""
    page.get_by_role("button", name="Materialize…").click()
    days = page.get_by_role("dialog").locator('input[type="text"]:visible').first
    _settle(page)
    days.fill(shown.days(3))
    days.press("Enter")


def backfill_followed(page: Page, _: Shown) -> None:
    """The backfill's runs."""
    page.get_by_text("Success", exact=True).first.wait_for()


def automation(page: Page, _: Shown) -> None:
    """The schedules and sensors."""
    page.get_by_text("daily_facts_schedule").wait_for()


def sensor(page: Page, _: Shown) -> None:
    """The sensor's ticks of an hour, those that asked for runs below."""
    page.get_by_role("button", name="1hr").click()
    page.get_by_text("All ticks").click()
    page.get_by_role("menuitem", name="Requested").click()
    page.get_by_role("button", name="View logs").first.wait_for()


PICTURES = (
    Picture("lineage", lambda _: "asset-groups", lineage, 980),
    Picture("day", lambda shown: shown.day(shown.last), day, 1500),
    Picture("failed_day", lambda shown: shown.failed and shown.day(shown.failed), failed_day, 760),
    Picture("closed_day", lambda shown: shown.closed and shown.day(shown.closed), closed_day, 900),
    Picture("columns", lambda _: f"assets/{FACTS}", columns),
    Picture("column_lineage", lambda _: "assets/job_hourly_events", column_lineage),
    Picture("freshness", lambda _: f"assets/{FACTS}", freshness),
    Picture("checks", lambda _: "assets/s3_staged_events?view=checks", checks, 700),
    Picture("run", lambda shown: f"runs/{shown.run_id}", run),
    Picture("backfill", lambda _: "locations/recruitment_platform/jobs/daily_facts/partitions", backfill),
    Picture(
        "backfill_followed",
        lambda shown: shown.backfill and f"runs/b/{shown.backfill}?tab=runs",
        backfill_followed,
        440,
    ),
    Picture("automation", lambda _: "automation", automation, 500),
    Picture("sensor", lambda _: "locations/recruitment_platform/sensors/late_data_sensor", sensor),
)


def main() -> None:
    """Takes the pictures, each once nothing moves any more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="of a running page, as http://127.0.0.1:3000")
    parser.add_argument("--only", choices=[picture.name for picture in PICTURES], help="one picture")
    asked = parser.parse_args()
    path = executable()
    if path is None:
        sys.exit(f"No browser is installed; one of {', '.join(NAMES)} is needed. Debian: apt-get install chromium")
    shown = _shown(asked.address.rstrip("/"))
    IMAGES.mkdir(exist_ok=True)
    with chromium(path) as browser:
        for picture in PICTURES:
            if asked.only in (None, picture.name) and picture.path(shown):
                size = _take(browser, picture, shown)
                print(f"{picture.name}.png: {size / 1000:.0f} kB")


def _shown(address: str) -> Shown:
    facts = _ask(address, MATERIALIZED)
    newest: dict[str, set[str]] = {}
    for found in facts["assetMaterializations"]:
        newest.setdefault(found["partition"], {entry["label"] for entry in found["metadataEntries"]})
    ranges = facts["assetPartitionStatuses"].get("ranges", [])
    failed = next((found["startKey"] for found in ranges if found["status"] == "FAILED"), "")
    closed = next((day for day, labels in sorted(newest.items(), reverse=True) if "closed" in labels), "")
    over = sorted(day for day in newest if day < str(datetime.now(UTC).date()))
    runs = [run for run in _ask(address, RUNS)["results"] if RANGE_START in {tag["key"] for tag in run["tags"]}]
    backfills = _ask(address, NEWEST_BACKFILL)["results"]
    if len(over) < WEEK or not runs:
        sys.exit(f"{address} shows no week of {FACTS}: run the demo first")
    return Shown(
        address,
        published=tuple(over),
        run_id=runs[-1]["runId"],
        backfill=backfills[0]["id"] if backfills else "",
        failed=failed,
        closed=closed,
    )


def _ask(address: str, query: str) -> Any:
    answer = requests.post(f"{address}/graphql", json={"query": query}, timeout=60)
    answer.raise_for_status()
    return next(iter(answer.json()["data"].values()))


def _take(browser: Browser, picture: Picture, shown: Shown) -> int:
    with opened(browser, f"{shown.address}/{picture.path(shown)}") as page:
        page.set_viewport_size({"width": WIDTH, "height": max(HEIGHT, picture.height)})
        picture.show(page, shown)
        png = _settle(page)
    image = Image.open(BytesIO(png)).convert("RGB").crop((0, 0, WIDTH, picture.height))
    file = IMAGES / f"{picture.name}.png"
    # Not the default method: it has no room for the few coloured dots on a page of greys.
    few = image.quantize(method=Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    few.save(file, optimize=True)
    return file.stat().st_size


def _settle(page: Page) -> bytes:
    """The page as it looks once two looks in a row are the same, or at the last look: some pages have a clock."""
    former = b""
    for _ in range(LOOKS):
        page.wait_for_timeout(PAUSE_MS)
        png = page.screenshot(animations="disabled")
        if png == former:
            break
        former = png
    return png


def _icon(page: Page, name: str) -> Any:
    return page.locator(f'button:has([aria-label="{name}"])')


if __name__ == "__main__":
    main()
