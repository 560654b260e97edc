"""A real browser for the tests that need one: the Chromium of this machine, else the one Playwright brought."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDTHS = (1280, 390)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A started browser; the test says "not run" where there is none."""
    path = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    async with AsyncExitStack() as opened:
        try:
            playwright = await opened.enter_async_context(async_playwright())
            browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        except Exception as error:  # a driver that lacks a library of the system raises nothing narrower
            pytest.skip(f"not run: no Chromium that starts on this machine ({str(error).splitlines()[0]})")
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
