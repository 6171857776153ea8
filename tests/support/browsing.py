"""A real Chromium, without a window, and pictures of what it shows in `.artefacts/console`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

PICTURES = Path(__file__).parents[2] / ".artefacts" / "console"
WIDE, NARROW = (1280, 900), (390, 844)
_FLAGS = (
    "--no-sandbox",  # as root there is no other way
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str | None:
    return os.environ.get("TRAITBASE_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


needs_chromium = pytest.mark.skipif(
    find_chromium() is None and not os.environ.get("CI"),
    reason="there is no chromium here: install Debian's package, or name one in TRAITBASE_TEST_CHROMIUM",
)


@contextmanager
def browsing() -> Iterator[Browser]:
    """Run a browser for as long as the block lasts."""
    path = find_chromium()
    assert path is not None, "CI has a chromium: see .ci/run"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Faults:
    """What a page complains of in its console: scripts that fail, or that its policy forbids."""

    def __init__(self, page: Page) -> None:
        self.found: list[str] = []
        page.on("console", lambda message: message.type == "error" and self.found.append(message.text))
        page.on("pageerror", lambda error: self.found.append(str(error)))


def keep_picture(page: Page, name: str) -> None:
    """Keep a picture of a whole page, to be looked at."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
