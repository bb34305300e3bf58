"""A process that stands in for the gateway or the tools service: real HTTP, canned answers.

    python stand_in.py PORT [BEHAVIOUR …]

dies        ends with exit code 3, as after an error while loading, once its peer listens: port
            STAND_IN_PEER of the environment
hangs       listens and never gets ready
deaf        does not hear SIGTERM
parent      starts a process that would outlive it
toolless    answers without calling a tool
breaks      ends the stream before the answer is complete
locked      wants the key "sesame"
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time

from aiohttp import web

CALL = {"id": "call_1", "name": "calculate"}
TOOL = [
    {"event": "tool_call", **CALL, "arguments": '{"expression": "17 * 23"}'},
    {"event": "tool_started", **CALL, "expected_s": [0.01, 0.05], "wait_s": 0.0},
    {"event": "tool_finished", **CALL, "outcome": "ok", "failed": False, "took_s": 0.02},
    {"event": "report", "turns": 2, "tool_call_count": 1, "stopped_by": None},
]


def tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


class StandIn:
    def __init__(self, behaviours: set[str], stop: asyncio.Event) -> None:
        self.behaviours = behaviours
        self.stop = stop

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/readyz", self.ready)
        app.router.add_get("/health", self.ready)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/die", self.die)
        return app

    async def ready(self, request: web.Request) -> web.Response:
        tell("INFO asked for readiness")
        return web.Response(status=503 if "hangs" in self.behaviours else 200)

    async def models(self, request: web.Request) -> web.Response:
        if "locked" in self.behaviours and request.headers.get("Authorization") != "Bearer sesame":
            return web.json_response({"error": {"message": "wrong key"}}, status=401)
        return web.json_response({"data": [{"id": "canned"}]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        if body.get("tools") and "toolless" not in self.behaviours:
            for event in TOOL:
                await send(answer, {"roundhouse": event})
        for word in ("It is ", "391."):
            await send(answer, {"choices": [{"index": 0, "delta": {"content": word}}]})
        if "breaks" not in self.behaviours:
            await answer.write(b"data: [DONE]\n\n")
        return answer

    async def die(self, request: web.Request) -> web.Response:
        tell("ValueError: the sky fell")
        os._exit(3)


async def send(answer: web.StreamResponse, chunk: dict[str, object]) -> None:
    await answer.write(b"data: " + json.dumps({"choices": [{"delta": {}}], **chunk}).encode())
    await answer.write(b"\n\n")


async def serve(port: int, behaviours: set[str]) -> None:
    stop = asyncio.Event()
    hear = (lambda: tell("I hear nothing")) if "deaf" in behaviours else stop.set
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, hear)
    if "parent" in behaviours:
        kept = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1)
        tell(f"started {kept.pid}")
    runner = web.AppRunner(StandIn(behaviours, stop).app(), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    tell("INFO listening")
    await stop.wait()
    tell("INFO ended in order")
    await runner.cleanup()


def wait_for(port: int) -> None:
    """Until somebody listens there: only then does the other process hear signals."""
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)


def main() -> None:
    port, *behaviours = sys.argv[1:]
    if "dies" in behaviours:
        tell("INFO loading")
        wait_for(int(os.environ["STAND_IN_PEER"]))
        tell("ValueError: no such model")
        tell("INFO goodbye")
        sys.exit(3)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(port), set(behaviours)))


if __name__ == "__main__":
    main()
