"""A real browser for the tests that need one: the Chromium of this machine, else the one Playwright brought."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Error, Page, async_playwright

AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDTHS = (1280, 390)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A started browser; the test says "not run" where there is none."""
    async with async_playwright() as playwright:
        path = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
        try:
            browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        except Error:
            pytest.skip("not run: no Chromium on this machine")
        yield browser
        await browser.close()


async def axe_findings(page: Page) -> list[str]:
    """What axe finds wrong on the page at WCAG 2.2 AA, as `rule: place`."""
    result = await Axe().run(page, options={"runOnly": AXE_RULES})
    assert len(result.response["passes"]) > 5, "axe has looked at the page"
    return [f"{each['id']}: {node['target']}" for each in result.response["violations"] for node in each["nodes"]]


async def sideways(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return int(await page.evaluate("document.documentElement.scrollWidth - innerWidth"))
