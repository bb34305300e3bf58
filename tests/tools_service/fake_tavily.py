"""A server that speaks Tavily's HTTP: its answers, its errors and its keyless limit."""

from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

ERROR_TEXT = "SECRET detail of the server"


@dataclass
class FakeTavily:
    """Answers search and extract; `mode` is a status to fail with, or a name below."""

    mode: int | str = 200
    retry_after: str | None = None
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.bodies.append(await request.json())
        match self.mode:
            case 200:
                answers = {"search": self._search, "extract": self._extract}
                return web.json_response(answers[request.match_info["path"]](self.bodies[-1]))
            case int():
                named = {"Retry-After": self.retry_after} if self.retry_after else {}
                detail = {"detail": {"error": ERROR_TEXT}}
                return web.json_response(detail, status=self.mode, headers=named)
            case "keyless limit":
                error = {
                    **{"code": "keyless_rate_limited", "message": ERROR_TEXT, "window": "day"},
                    **{"retry_after_seconds": 3600, "next_actions": []},
                }
                return web.json_response({"error": error}, status=429)
            case "hang up":
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            case _:
                return web.Response(text=self.mode, content_type="application/json")

    def _search(self, asked: dict[str, Any]) -> dict[str, object]:
        found = {
            "title": f"About {asked['query']}",
            "url": "https://site.example/page",
            "content": "What it says.",
            "score": 0.9,
            "raw_content": "All of it." if asked.get("include_raw_content") else None,
        }
        results = [found] * int(asked.get("max_results", 5))
        return {"query": asked["query"], "answer": None, "images": [], "results": results}

    def _extract(self, asked: dict[str, Any]) -> dict[str, object]:
        good = [url for url in asked["urls"] if "bad" not in url]
        return {
            "results": [{"url": url, "raw_content": f"Text of {url}"} for url in good],
            "failed_results": [
                {"url": url, "error": "404"} for url in asked["urls"] if "bad" in url
            ],
        }
