"""A person with a keyboard only: Tab goes on, Enter presses, letters are typed."""

import re
from dataclasses import dataclass

from playwright.async_api import Page, expect

MOST_TABS = 120
# What has the focus: the name that is read out for it, and whether it is seen to have it.
FOCUS = """() => {
  const it = document.activeElement, style = getComputedStyle(it);
  if (it === document.body) return ["", true];
  const name = it.getAttribute("aria-label") || (it.labels && it.labels.length ? it.labels[0] : it).innerText;
  return [name.replace(/\\s+/g, " ").trim(), style.outlineStyle !== "none" || style.boxShadow !== "none"];
}"""


@dataclass
class Keyboard:
    """The keyboard at a page."""

    page: Page

    async def to(self, name: str) -> None:
        """Tab, until what bears this name has the focus; all that has it on the way can be seen to have it."""
        met = []
        for _ in range(MOST_TABS):
            await self.page.keyboard.press("Tab")
            found, seen = await self.page.evaluate(FOCUS)
            assert seen, f"nothing shows that {found} has the focus on {self.page.url}"
            if re.fullmatch(name, found):
                return
            met.append(found)
        raise AssertionError(f"Tab does not come to {name} on {self.page.url}, only to {met}")

    async def type(self, name: str, text: str) -> None:
        await self.to(name)
        await self.page.keyboard.type(text)

    async def press(self, name: str) -> None:
        await self.to(name)
        await self.page.keyboard.press("Enter")

    async def arrives(self, heading: str) -> None:
        await expect(self.page.get_by_role("heading", name=re.compile(heading)).first).to_be_visible()
