"""`roundhouse up`: start, proof, watch, stop."""

import asyncio
import os
import signal
import sys
from contextlib import suppress

import aiohttp
import psutil
import pytest

from tests.roundhouse.processes import HERE, Start

READY = "Roundhouse is ready at"


async def test_up_prints_the_address_and_three_examples_once_a_chat_used_a_tool(
    start_up: Start, ports: tuple[str, str]
) -> None:
    running = await start_up()
    output = await running.until("roundhouse ask")
    assert "self-test passed: What is 17 * 23? calculate ran" in output
    assert f"{READY} http://127.0.0.1:{ports[0]}/v1" in output
    assert "curl http://127.0.0.1" in output
    assert "from openai import OpenAI" in output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_stops_the_gateway_before_the_tools_service(
    start_up: Start, number: signal.Signals
) -> None:
    running = await start_up()
    await running.until(READY)
    running.process.send_signal(number)
    assert await running.end() == 0
    gateway = running.output.index("gateway | INFO ended in order")
    tools = running.output.index("tools_service | INFO ended in order")
    assert gateway < tools


async def test_a_reader_that_goes_away_does_not_keep_the_processes_from_being_stopped(
    start: Start, ports: tuple[str, str]
) -> None:
    """Rich ends the program on a broken pipe: the log was followed no more, nothing was stopped."""
    script = f"{sys.executable} {HERE}/up_stand_ins.py {' '.join(ports)} '' '' 2>&1 | head -n 1"
    running = await start("-c", f"import os; os.execvp('bash', ['bash', '-c', {script!r}])")
    await running.until("roundhouse: starting")
    await wait_until_ready(f"http://127.0.0.1:{ports[0]}/readyz")
    (up,) = [pid for pid, line in children(running.process.pid) if "up_stand_ins.py" in line]
    house = [psutil.Process(pid) for pid, _ in children(up)]
    os.kill(up, signal.SIGTERM)
    assert await running.end() == 0
    assert len(house) == 2
    assert not [one for one in house if one.is_running() and one.status() != "zombie"]


async def test_a_death_while_loading_ends_up_with_its_cause(
    start_up: Start, ports: tuple[str, str]
) -> None:
    """The tools service was told to end before it heard signals, and so ended without a word."""
    running = await start_up("dies", STAND_IN_PEER=ports[1])
    assert await running.end() == 1
    cause = "gateway ended with exit code 3; it said: ValueError: no such model"
    assert cause in running.output
    assert "tools_service | INFO ended in order" in running.output


async def test_a_death_in_service_ends_the_rest_and_says_which_and_why(
    start_up: Start, ports: tuple[str, str]
) -> None:
    running = await start_up()
    await running.until(READY)
    with pytest.raises(aiohttp.ClientError):
        async with aiohttp.ClientSession() as http:
            await http.post(f"http://127.0.0.1:{ports[1]}/die")
    assert await running.end() == 1
    assert "tools_service ended with exit code 3; it said: ValueError: the sky fell" in (
        running.output
    )
    assert "gateway | INFO ended in order" in running.output


async def test_a_process_that_is_killed_is_named_with_its_signal(start_up: Start) -> None:
    running = await start_up()
    await running.until(READY)
    victim = next(child for child in children(running.process.pid) if "stand_in.py" in child[1])
    os.kill(victim[0], signal.SIGKILL)
    assert await running.end() == 1
    assert "was killed by SIGKILL" in running.output


async def test_a_process_deaf_to_sigterm_is_killed_after_the_bound(start_up: Start) -> None:
    running = await start_up("deaf")
    await running.until(READY)
    running.process.terminate()
    assert await running.end() == 0
    assert "I hear nothing" in running.output
    assert "gateway did not end by itself and was killed" in running.output
    assert "tools_service | INFO ended in order" in running.output


async def test_a_second_signal_does_not_wait_for_the_bound(start_up: Start) -> None:
    running = await start_up("deaf", "deaf", "--patient")
    await running.until(READY)
    running.process.terminate()
    await running.until("I hear nothing")
    running.process.terminate()
    assert await running.end() == 0
    assert "gateway did not end by itself and was killed" in running.output
    assert "tools_service did not end by itself and was killed" in running.output


async def test_what_a_process_started_does_not_outlive_it(start_up: Start) -> None:
    running = await start_up("parent")
    output = await running.until(READY)
    kept = psutil.Process(int(output.partition("gateway | started ")[2].split()[0]))
    assert kept.is_running()
    running.process.terminate()
    assert await running.end() == 0
    assert not kept.is_running() or kept.status() == psutil.STATUS_ZOMBIE


async def test_a_gateway_that_never_gets_ready_ends_up_within_the_bound(start_up: Start) -> None:
    running = await start_up("hangs", "", "--impatient")
    assert await running.end() == 1
    assert "not ready after 1 s" in running.output
    assert "--ready-timeout" in running.output


async def test_a_signal_stops_up_while_the_model_loads(start_up: Start) -> None:
    running = await start_up("hangs")
    await running.until("gateway | INFO asked for readiness")
    running.process.terminate()
    assert await running.end() == 0
    assert "gateway | INFO ended in order" in running.output


async def test_check_stops_after_the_self_test(start_up: Start) -> None:
    running = await start_up("", "", "--check")
    assert await running.end() == 0
    assert "self-test passed" in running.output
    assert READY not in running.output


async def test_check_fails_when_the_model_calls_no_tool(start_up: Start) -> None:
    running = await start_up("toolless", "", "--check")
    assert await running.end() == 1
    assert "the model called no tool and answered 'It is 391.'" in running.output


async def test_up_goes_on_when_the_self_test_fails(start_up: Start) -> None:
    running = await start_up("toolless")
    await running.until(READY)
    assert "the model called no tool" in running.output


def children(pid: int) -> list[tuple[int, str]]:
    return [(child.pid, " ".join(child.cmdline())) for child in psutil.Process(pid).children()]


async def wait_until_ready(url: str) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as http:
        while True:
            with suppress(aiohttp.ClientError):
                async with http.get(url) as response:
                    if response.ok:
                        return
