"""The status page in a real browser."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.parts.browser import browser, prefer, resize
from tests.parts.engine import ScriptedEngine
from tests.parts.loop import ANSWER, ONE_CALL, SERVER
from tests.parts.served import Served, served
from tests.parts.tools import ScriptedTool, tools_service

HOSTILE = "<script>document.title='taken'</script><img src=x onerror=document.title='taken'>"
PATIENCE_S = 60.0
# Ground and ink of a badge in each of its states, most of which nothing here is in.
BADGES = """
const states = "well ejected draining dead queued generating in_tool bad other".split(" ");
return states.map((state) => {
  const badge = document.querySelector(".badge").cloneNode();
  badge.dataset.state = state;
  document.body.append(badge);
  const {backgroundColor, color} = getComputedStyle(badge);
  badge.remove();
  return [backgroundColor, color];
});
"""
T = TypeVar("T")


class Page:
    """The page in a browser that the test drives; the gateway answers meanwhile."""

    def __init__(self, driver: Chrome, url: str) -> None:
        self.driver = driver
        self.url = url + "/status"

    async def do(self, act: Callable[[Chrome], T]) -> T:
        """Act in a thread: the browser waits for the gateway, which runs in this one."""
        return await asyncio.to_thread(act, self.driver)

    async def until(self, is_so: Callable[[Chrome], T]) -> T:
        """Wait for something of the page's."""
        drawn_anew = [StaleElementReferenceException]  # between finding an element and asking it
        wait = WebDriverWait(self.driver, PATIENCE_S, 0.05, ignored_exceptions=drawn_anew)
        return await asyncio.to_thread(wait.until, is_so)

    async def opened(self) -> None:
        await self.do(lambda driver: driver.get(self.url))

    async def text(self, selector: str, said: str) -> None:
        """Wait until the page says so there."""
        await self.until(lambda driver: said in _text(driver, selector))

    async def asked(self, script: str) -> Any:
        return await self.do(lambda driver: driver.execute_script(script))


def _text(driver: Chrome, selector: str) -> str:
    # In one step: the page may be drawn anew between finding an element and reading it.
    script = "return document.querySelector(arguments[0])?.innerText ?? ''"
    return str(driver.execute_script(script, selector))


def _focused(driver: Chrome) -> WebElement:
    return driver.switch_to.active_element


@asynccontextmanager
async def page(*tools: ScriptedTool, **settings: object) -> AsyncGenerator[tuple[Served, Page]]:
    """A gateway with one engine and these tools, and a browser that will open its page."""
    engine = ScriptedEngine(ONE_CALL, ANSWER)
    engine.kv_used_ratio = 0.42
    with browser() as driver:
        async with (
            tools_service(*tools) as url,
            served(engine, tools={"url": url}, **settings) as it,
        ):
            try:
                yield it, Page(driver, it.url)
            finally:
                # The stream must have ended before the server waits for it.
                await asyncio.to_thread(driver.get, "about:blank")


async def chat(it: Served, session: str, **headers: str) -> None:
    body = {
        "session_id": session,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [SERVER],
    }
    answer = await it.ask("POST", "/v1/chat/completions", body, **headers)
    assert answer.status == 200


@pytest.mark.timeout(300)
async def test_what_happens_appears_while_one_watches_and_hostile_names_stay_text() -> None:
    async with page(ScriptedTool(expected_s=(0.5, 1.5))) as (it, shown):
        await shown.opened()
        await shown.text("#connection", "live")
        await shown.text("#engines h3", "zero")
        await shown.text("#engines .kv", "42 %")
        await shown.text("#no-sessions", "No agent has asked yet.")
        await chat(it, "s-1", x_roundhouse_agent_name=HOSTILE)
        await shown.text("#sessions h3", HOSTILE)
        await shown.text("#sessions .id", "s-1")
        await shown.text("#engines .homes", "<script>")
        await shown.text("#tools .name", "search")
        await shown.text("#tools .range", "500 ms to 1.5 s")
        await it.chat(model=HOSTILE)
        await shown.text("#troubles p", HOSTILE)
        assert await shown.asked("return document.title") == "Roundhouse"
        made = "return document.querySelectorAll('#board script, #board img').length"
        assert await shown.asked(made) == 0
        # selenium has left it untyped
        log = await shown.do(lambda driver: driver.get_log("browser"))  # type: ignore[no-untyped-call]
        assert log == []


@pytest.mark.timeout(300)
async def test_it_is_read_with_the_keyboard_alone_and_keeps_the_readers_place() -> None:
    async with page(ScriptedTool()) as (it, shown):
        await chat(it, "s-1")
        await shown.opened()
        await shown.text("#sessions", "s-1")
        body = await shown.do(lambda driver: driver.find_element(By.TAG_NAME, "body"))
        await asyncio.to_thread(body.send_keys, Keys.TAB)
        assert (await shown.asked("return document.activeElement.className")) == "skip"
        for key in (Keys.TAB, Keys.ENTER):
            focused = await shown.do(_focused)
            await asyncio.to_thread(focused.send_keys, key)
        assert (await shown.asked("return document.activeElement.tagName")) == "SUMMARY"
        await shown.text("#sessions .accounts", "zero: the only one that serves this model")
        await shown.text("#sessions .accounts", "search ok, ran 1.0 s")
        # Another session comes above it: what was opened stays open, and the focus stays there.
        await chat(it, "s-2")
        await shown.text("#sessions > li:first-child", "s-2")
        kept = "const at = document.activeElement; return [at.innerText, at.parentNode.open]"
        said, is_open = await shown.asked(kept)
        assert "s-1" in said and is_open
        await it.gateway.stop()
        await shown.text("#connection", "connection lost")
        assert "s-1" in await shown.do(lambda driver: _text(driver, "#sessions"))


@pytest.mark.timeout(300)
async def test_it_fits_a_phone_and_follows_the_colour_scheme_with_contrast() -> None:
    async with page(ScriptedTool()) as (it, shown):
        await chat(it, "a-session-with-a-rather-long-name-" * 3, x_roundhouse_agent_name="n" * 90)
        await shown.do(lambda driver: resize(driver, 360, 740, phone=True))
        await shown.opened()
        await shown.text("#tools", "search")
        width = "return [document.documentElement.scrollWidth, window.innerWidth]"
        assert await shown.asked(width) == [360, 360]
        pages = []
        for scheme in ("light", "dark"):
            await shown.do(lambda driver, it=scheme: prefer(driver, it))  # type: ignore[misc]
            colours = (
                "const at = getComputedStyle(document.body); return [at.backgroundColor, at.color]"
            )
            ground, ink = await shown.asked(colours)
            pages.append(ground)
            assert contrast(ground, ink) >= 7
            soft = "return getComputedStyle(document.querySelector('#sessions .where')).color"
            assert contrast(ground, await shown.asked(soft)) >= 4.5
            badges = await shown.asked(BADGES)
            assert len(badges) >= 8 and all(contrast(*pair) >= 4.5 for pair in badges)
        assert luminance(pages[0]) > 0.8 and luminance(pages[1]) < 0.05


@pytest.mark.timeout(300)
async def test_a_wrong_key_is_refused_and_the_right_one_lasts_until_the_operator_signs_out() -> (
    None
):
    async with page(ScriptedTool(), api_keys=["k"], admin_key="boss+/=%") as (_, shown):
        await shown.opened()
        await shown.until(lambda driver: driver.find_element(By.ID, "key").is_displayed())
        key = await shown.do(lambda driver: driver.find_element(By.ID, "key"))
        for wrong in ("wrong", "schlüssel €"):
            await asyncio.to_thread(key.clear)
            await asyncio.to_thread(key.send_keys, wrong, Keys.ENTER)
            await shown.text("#refused", "not the operator's")
        assert not await shown.asked("return document.getElementById('board').offsetHeight")
        await asyncio.to_thread(key.clear)
        await asyncio.to_thread(key.send_keys, "boss+/=%", Keys.ENTER)
        await shown.text("#engines h3", "zero")
        assert await shown.asked("return [document.cookie, sessionStorage.length]") == ["", 0]
        await shown.opened()
        await shown.text("#engines h3", "zero")
        await shown.until(lambda driver: driver.find_element(By.ID, "logout").is_displayed())
        await shown.do(lambda driver: driver.find_element(By.ID, "logout").click())
        await shown.until(lambda driver: driver.find_element(By.ID, "key").is_displayed())


def luminance(colour: str) -> float:
    """Relative luminance as WCAG has it, of `rgb(…)`."""
    parts = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG's ratio: 4.5 is the least for text, 7 is good."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
