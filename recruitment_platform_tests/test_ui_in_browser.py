"""What someone sees who opens the page after days were run: a real Chromium before the real `ui` command."""

import os
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from recruitment_platform.automation.instance import open_instance
from recruitment_platform.pipeline.publish import STAGING_CHECKS, TABLE_CHECKS
from recruitment_platform_tests.automation.daemon import NEVER
from recruitment_platform_tests.browser import NAMES, PATIENCE_MS, chromium, executable, opened
from recruitment_platform_tests.cli.command_line import free_port, ui
from recruitment_platform_tests.runs import a_site, day, run, settings_of

DAYS = 3
DAYS_PER_RUN = 2
BACKFILL_MS = 240_000
RUN_ID = re.compile("^[0-9a-f]{8}$")
expect.set_options(PATIENCE_MS)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of a home whose days were run."""
    site = a_site(tmp_path_factory.mktemp("home"), DAYS)
    with open_instance(settings_of(site)) as instance:
        outcome = run(site, instance, DAYS)
    assert outcome.success, outcome.message
    port = free_port()
    chosen = {
        "RECRUITMENT_ENGINE": "duckdb",
        "RECRUITMENT_DAYS_PER_RUN": str(DAYS_PER_RUN),
        "RECRUITMENT_FRESHNESS_GRACE": f"{NEVER.total_seconds():.0f}",
    }
    with ui(site.home, port, site.home.parent / "ui.log", **chosen):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Page]:
    """A browser that has opened the page, and must not have met an error when all was seen."""
    path = executable()
    if path is None:
        wanted = f"no browser is installed: one of {', '.join(NAMES)}"
        if "CI" in os.environ:
            pytest.fail(wanted)
        pytest.skip(wanted)
    errors: list[str] = []
    with chromium(path) as browser, opened(browser, address) as found:
        found.on("pageerror", lambda error: errors.append(str(error)))
        yield found
    assert not errors


def test_the_daily_job_is_found_among_the_jobs_and_says_how_to_use_it(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("link", name="Jobs").click()
    page.locator("a", has_text=re.compile("^daily_facts$")).first.click()
    expect(page.get_by_text("for a day or a range of days in one run")).to_be_visible()


@pytest.mark.timeout(600)
def test_a_person_finds_the_job_backfills_three_days_follows_them_and_reads_the_facts(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_text("Search", exact=True).click()
    page.get_by_placeholder("Search assets, jobs, schedules, sensors…").fill("daily_facts")
    page.locator('a[href$="/jobs/daily_facts"]').click()

    page.get_by_role("tab", name="Partitions").click()
    page.get_by_role("button", name="Materialize…").click()
    dialog = page.get_by_role("dialog").first
    dialog.get_by_text("Show all partitions").click()  # it begins with the last 90 days
    days = dialog.get_by_placeholder(re.compile("^ex: "))
    days.fill(f"[{day(0)}...{day(DAYS - 1)}]")
    days.press("Enter")
    expect(dialog.get_by_text(f"{DAYS} partitions", exact=True)).to_be_visible()
    dialog.get_by_text("Preview", exact=True).click()
    expect(page.get_by_text(f"with a maximum of {DAYS_PER_RUN} partitions per run")).to_have_count(5)
    page.get_by_role("button", name="OK").click()
    dialog.get_by_role("button", name="Launch backfill").click()

    page.get_by_role("link", name="View", exact=True).click()
    expect(page.get_by_text("100% completed")).to_be_visible(timeout=BACKFILL_MS)
    expect(page.get_by_text("In progress", exact=True)).to_have_count(1)  # the column; the state is another
    page.get_by_role("tab", name="Runs").click()
    expect(page.get_by_text("Success", exact=True)).to_have_count(2)
    runs = {link.inner_text() for link in page.locator('a[href^="/runs/"]', has_text=RUN_ID).all()}
    assert len(runs) == 2

    page.get_by_role("link", name="Catalog").click()
    page.get_by_role("link", name="redshift_fact_events").first.click()
    expect(page.get_by_text("Freshness policy").first).to_be_visible()
    expect(page.get_by_text("Passing", exact=True).first).to_be_visible()
    expect(page.locator("tr", has_text="Sum of the clicks' bids")).to_contain_text("From s3_staged_events.spend_hour")
    page.get_by_role("tab", name="Partitions").click()
    page.get_by_placeholder("Filter by name…").fill(str(day(2)))
    page.get_by_text(str(day(2)), exact=True).first.click()
    expect(page.get_by_alt_text("clicks and spend by hour")).to_be_visible()
    assert page.locator('a[href^="/runs/"]', has_text=RUN_ID).first.inner_text() in runs
    page.get_by_role("tab", name="Checks").click()
    for name in TABLE_CHECKS:
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    expect(page.get_by_text("Succeeded", exact=True)).to_have_count(len(TABLE_CHECKS))


def test_the_lineage_graph_shows_every_asset_once_its_groups_are_expanded(page: Page, address: str) -> None:
    page.goto(f"{address}/asset-groups")
    expect(page.get_by_text("operational", exact=True).last).to_be_visible()
    page.keyboard.press("Alt+KeyE")
    for asset in ("dim_jobs", "raw_tracking", "s3_staged_events", "master_city"):
        expect(page.get_by_text(asset, exact=True).first).to_be_visible()


def test_the_facts_columns_tell_what_they_are_and_where_they_come_from(page: Page, address: str) -> None:
    page.goto(f"{address}/assets")
    page.get_by_role("link", name="redshift_fact_events").first.click()
    row = page.locator("tr", has_text="Sum of the clicks' bids")
    expect(row).to_contain_text("decimal(18,6)")
    expect(row).to_contain_text("From s3_staged_events.spend_hour")
    page.goto(f"{address}/assets/job_hourly_events")
    row = page.locator("tr", has_text="Sum of the clicks' bids")
    expect(row).to_contain_text("From raw_tracking.bid_micros, raw_tracking.measure.")


def test_a_day_of_the_facts_shows_its_plot_and_figures(page: Page, address: str) -> None:
    page.goto(f"{address}/assets/redshift_fact_events")
    page.get_by_role("link", name="Partitions").or_(page.get_by_role("tab", name="Partitions")).first.click()
    page.get_by_placeholder("Filter by name…").fill(str(day(1)))
    page.get_by_text(str(day(1)), exact=True).first.click()
    plot = page.get_by_alt_text("clicks and spend by hour")
    expect(plot).to_be_visible()
    assert plot.evaluate("image => image.complete && image.naturalWidth") > 0
    expect(page.locator("tr", has_text=re.compile("^clicks"))).to_contain_text("3")
    expect(page.locator("tr", has_text=re.compile("^spend"))).to_contain_text(["4.500000 USD", "4500000"])


@pytest.mark.parametrize(
    ("asset", "checks"), [("s3_staged_events", STAGING_CHECKS), ("redshift_fact_events", TABLE_CHECKS)]
)
def test_every_check_is_listed_by_its_name_as_succeeded(
    page: Page, address: str, asset: str, checks: dict[str, str]
) -> None:
    page.goto(f"{address}/assets/{asset}?view=checks")
    for name, meaning in checks.items():
        page.get_by_text(name, exact=True).first.click()
        expect(page.get_by_text(meaning)).to_be_visible()
    expect(page.get_by_text("Succeeded", exact=True)).to_have_count(len(checks))
