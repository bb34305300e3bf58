"""A headless Chromium of the test's own, with a fresh profile, ended with the test."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

PROGRAM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def browser() -> Iterator[Chrome]:
    """A running one. Skips the test where there is no Chromium, but never in CI."""
    if PROGRAM is None or DRIVER is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs chromium and chromedriver: see scripts/services")
        pytest.skip("chromium or chromedriver is not installed: see scripts/services")
    with tempfile.TemporaryDirectory(prefix="rh-chromium-", ignore_cleanup_errors=True) as folder:
        options = ChromeOptions()
        options.binary_location = PROGRAM
        for flag in (*FLAGS, f"--user-data-dir={folder}"):
            options.add_argument(flag)
        driver = Chrome(options=options, service=Service(DRIVER))
        try:
            driver.set_page_load_timeout(60)
            yield driver
        finally:
            driver.quit()


def resize(driver: Chrome, width: int, height: int, *, phone: bool = False) -> None:
    """The viewport, which may be smaller than any window."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def prefer(driver: Chrome, scheme: Literal["light", "dark"]) -> None:
    """The colour scheme its user likes."""
    wish = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [wish]})
