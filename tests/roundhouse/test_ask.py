"""`roundhouse ask` against a gateway that answers as told."""

from tests.roundhouse.processes import Start, StartGateway


async def test_ask_shows_tool_calls_as_they_happen_and_then_the_answer(
    start: Start, start_gateway: StartGateway
) -> None:
    asked = await start("-m", "roundhouse", "ask", "--url", await start_gateway(), "17 * 23?")
    assert await asked.end() == 0
    assert asked.output.splitlines() == [
        '→ calculate({"expression": "17 * 23"})',
        "  calculate usually takes 0.01 to 0.05 s",
        "✓ calculate done in 0.02 s",
        "It is 391.",
    ]


async def test_ask_without_tools_asks_without_tools(
    start: Start, start_gateway: StartGateway
) -> None:
    url = await start_gateway()
    asked = await start("-m", "roundhouse", "ask", "--no-tools", "--url", f"{url}/v1", "17 * 23?")
    assert await asked.end() == 0
    assert asked.output == "It is 391.\n"


async def test_ask_shows_the_key_of_the_environment(
    start: Start, start_gateway: StartGateway
) -> None:
    url = await start_gateway("locked")
    asked = await start(
        "-m", "roundhouse", "ask", "--url", url, "17 * 23?", ROUNDHOUSE_API_KEYS="sesame,other"
    )
    assert await asked.end() == 0
    assert "391" in asked.output


async def test_a_refusal_is_told_with_its_reason_and_remedy(
    start: Start, start_gateway: StartGateway
) -> None:
    url = await start_gateway("locked")
    asked = await start("-m", "roundhouse", "ask", "--url", url, "17 * 23?", ROUNDHOUSE_API_KEYS="")
    assert await asked.end() == 1
    assert "refused with 401: wrong key" in asked.output
    assert "ROUNDHOUSE_API_KEYS" in asked.output


async def test_an_answer_that_breaks_off_is_a_failure(
    start: Start, start_gateway: StartGateway
) -> None:
    asked = await start("-m", "roundhouse", "ask", "--url", await start_gateway("breaks"), "hello?")
    assert await asked.end() == 1
    assert "the answer broke off" in asked.output


async def test_where_nothing_listens_ask_says_how_to_start(
    start: Start, ports: tuple[str, str]
) -> None:
    url = f"http://127.0.0.1:{ports[0]}"
    asked = await start("-m", "roundhouse", "ask", "--url", url, "hello?")
    assert await asked.end() == 2
    assert f"nothing listens at 127.0.0.1:{ports[0]}" in asked.output
    assert "roundhouse up" in asked.output
