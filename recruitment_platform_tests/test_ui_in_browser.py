"""What someone sees who opens the page after days were run: a real Chromium before the real `ui` command."""

import os
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from recruitment_platform.automation.instance import open_instance
from recruitment_platform.pipeline.publish import STAGING_CHECKS, TABLE_CHECKS
from recruitment_platform_tests.browser import NAMES, PATIENCE_MS, chromium, executable, opened
from recruitment_platform_tests.cli.command_line import free_port, ui
from recruitment_platform_tests.runs import a_site, day, run, settings_of

DAYS = 3
expect.set_options(PATIENCE_MS)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of a home whose days were run."""
    site = a_site(tmp_path_factory.mktemp("home"), DAYS)
    with open_instance(settings_of(site)) as instance:
        outcome = run(site, instance, DAYS)
    assert outcome.success, outcome.message
    port = free_port()
    with ui(site.home, port, site.home.parent / "ui.log", RECRUITMENT_ENGINE="duckdb"):
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
    expect(row).to_contain_text("From raw_tracking.bid_micros, raw_tracking.kind.")


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
