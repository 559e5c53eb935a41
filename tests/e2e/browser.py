"""Chromium at the admin, as an operator who has signed in."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDED = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")
OPERATOR, PASSWORD = "ada@example.com", "a long password"
# Where somebody wants to look at the pages, the folder for their pictures.
_PICTURES = os.environ.get("HUNTAZE_TEST_PICTURES")

# Timers come in the order of their times: what scripts put off until the page is there has had its turn.
_READY = "new Promise(done => setTimeout(done, 50))"
_DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
_PATIENCE_S = 30


@dataclass
class Visit:
    """A browser's tab and all that went wrong in it."""

    page: Page
    base: str
    troubles: list[str] = field(default_factory=list)
    # What it has asked for and not yet got.
    _asked: set[Any] = field(default_factory=set)

    def watch(self) -> None:
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.troubles.append(f"{self.page.url}: {error}"))
        self.page.on("request", self._note_request)
        self.page.on("response", self._note_response)
        for over in ("requestfinished", "requestfailed"):
            self.page.on(over, self._note_end)

    def open(self, path: str) -> None:
        self.page.goto(self.base + path)
        self.page.evaluate(_READY)
        self.settle()

    def settle(self) -> None:
        """Wait until the page is drawn and has got all that it has asked for by then.

        Playwright's "networkidle" waits for half a second more.
        """
        self.page.wait_for_load_state()
        self.page.evaluate(_DRAWN)
        deadline = time.monotonic() + _PATIENCE_S
        while self._asked:
            waiting = [each.url for each in self._asked]
            assert time.monotonic() < deadline, f"{self.page.url} still waits for {waiting}"
            self.page.wait_for_timeout(10)
            self.page.evaluate(_DRAWN)

    def _note_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.troubles.append(f"{self.page.url}: {message.text}")

    def _note_request(self, request: Any) -> None:
        self._asked.add(request)
        if not request.url.startswith((self.base, "data:")):
            self.troubles.append(f"{self.page.url}: asked elsewhere for {request.url}")

    def _note_end(self, request: Any) -> None:
        self._asked.discard(request)

    def _note_response(self, response: Any) -> None:
        if response.status >= 400:
            self.troubles.append(f"{self.page.url}: {response.status} for {response.url}")


@contextmanager
def signed_in(base: str) -> Iterator[Visit]:
    """As OPERATOR, whom the test has made before, since the browser's event loop runs in its thread."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        seen = Visit(browser.new_page(), base)
        seen.watch()
        seen.open(reverse("admin:index"))
        seen.page.fill("#id_username", OPERATOR)
        seen.page.fill("#id_password", PASSWORD)
        seen.page.click("button[type=submit]")
        seen.page.wait_for_selector("text=Campaigns under way")
        yield seen
        browser.close()


def picture(seen: Visit, name: str) -> None:
    if _PICTURES:
        seen.page.screenshot(path=Path(_PICTURES) / f"{name}.png", full_page=True)


def overflow(seen: Visit) -> list[int]:
    """By how many pixels the page is wider than the window, and tables than the room they have."""
    wider: list[int] = seen.page.evaluate("""
        [document.documentElement.scrollWidth - window.innerWidth,
         ...[...document.querySelectorAll('table')].map(
             table => table.scrollWidth - table.parentElement.clientWidth)]
        .filter(pixels => pixels > 0)
    """)
    return wider
