"""A real Chromium without a window, for tests of Dagster's page and for the README's pictures of it.

What belongs here: finding and starting the system's browser. What does not: what is looked at.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTH, HEIGHT = 1440, 900
PATIENCE_MS = 30_000


def executable() -> str | None:
    """The browser's path; None where none is installed."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def chromium(path: str) -> Iterator[Browser]:
    """The browser at that path, started; it ends with the context."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, address: str) -> Iterator[Page]:
    """The page at that address as someone sees it who has never been there, in UTC."""
    context = browser.new_context(
        viewport={"width": WIDTH, "height": HEIGHT}, timezone_id="UTC", locale="en-GB", color_scheme="light"
    )
    context.set_default_timeout(PATIENCE_MS)
    try:
        page = context.new_page()
        page.goto(address)
        yield page
    finally:
        context.close()
