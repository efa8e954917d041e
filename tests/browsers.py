"""A real browser for tests: Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

from .servers import PATIENCE, ROOT

SCREENSHOTS = Path(os.environ.get("SCREENSHOTS", ROOT / "build" / "screenshots"))
"""Where pictures of the pages are kept, to be looked at after a run."""
WIDE, PHONE = (1280, 800), (390, 844)
NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str:
    """The browser's path; the test is skipped where there is none, but for CI."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        if os.environ.get("CI") == "true":
            raise FileNotFoundError(f"expected one of {NAMES} on the PATH, or CHROMIUM to be set")
        pytest.skip("a browser is not there: install Chromium, or name one with CHROMIUM")
    return found


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    path = find_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        await browser.close()


class Visitor:
    """Somebody with a browser of their own: their first page, and what went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        self.watch(page)

    @classmethod
    async def come(
        cls, browser: Browser, url: str, size: tuple[int, int] = WIDE, *, dark: bool = False
    ) -> "Visitor":
        width, height = size
        context = await browser.new_context(
            base_url=url,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",  # a picture never shows half of a movement
        )
        context.set_default_timeout(PATIENCE * 1000)
        return cls(await context.new_page())

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda fault: self.faults.append(str(fault)))
        page.on("console", self._on_console)

    def _on_console(self, message: ConsoleMessage) -> None:
        # That a WebSocket failed is told while the server is away; the page has to cope with it.
        if message.type == "error" and "WebSocket" not in message.text:
            self.faults.append(message.text)

    async def take_picture(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
