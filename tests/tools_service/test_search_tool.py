"""The search tool: any text is a query, and the best passage comes first."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools_service.tools.build import DEMO_CORPUS
from tools_service.tools.corpus import Passage, passages
from tools_service.tools.providers.local import Local
from tools_service.tools.registry import Context
from tools_service.tools.search import Search

NOBODY = Context()


@pytest.fixture(scope="module")
def demo() -> Iterator[Search]:
    with Local(passages(DEMO_CORPUS)) as local:
        yield Search(local)


async def find(search: Search, query: str, **more: object) -> list[dict[str, Any]]:
    output = await search.run({"query": query, **more}, NOBODY)
    results: list[dict[str, Any]] = json.loads(output.text)["results"]
    return results


@pytest.mark.parametrize(
    ("question", "url", "beginning"),
    [
        ("What is Roundhouse?", "docs/roundhouse.md", "Roundhouse is a serving gateway"),
        ("what is a session", "docs/sessions.md", "A session is the chain of turns"),
        ("How does prefix caching work?", "docs/prefix-caching.md", "Prefix caching reuses"),
        ("What is the KV cache?", "docs/kv-cache.md", "The KV cache holds"),
        ("What is MCP?", "docs/mcp.md", "The Model Context Protocol"),
        ("runtime lookup table", "docs/runtime-table.md", "The runtime lookup table tells"),
    ],
)
async def test_a_question_about_the_project_finds_its_answer(
    demo: Search, question: str, url: str, beginning: str
) -> None:
    best = (await find(demo, question))[0]
    assert best["url"] == url
    assert best["content"].startswith(beginning)


async def test_results_are_ranked_and_bounded(demo: Search) -> None:
    found = await find(demo, "agent tool session cache", max_results=3)
    scores = [result["score"] for result in found]
    assert len(found) == 3
    assert scores == sorted(scores, reverse=True)
    assert set(found[0]) == {"title", "url", "content", "score"}


async def test_no_match_is_an_empty_list(demo: Search) -> None:
    assert await find(demo, "xylophone") == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(query=st.text(min_size=1, max_size=80) | st.text(alphabet='"*():^-+ANDORNEAR ', min_size=1))
def test_no_text_is_a_syntax_error(demo: Search, query: str) -> None:
    found = asyncio.run(find(demo, query))
    assert len(found) <= 5


async def test_words_match_whatever_their_ending(demo: Search) -> None:
    assert await find(demo, "preempting agents") == await find(demo, "Preempt AGENT")


async def test_searches_run_side_by_side(demo: Search) -> None:
    found = await asyncio.gather(*(find(demo, "kv cache") for _ in range(20)))
    assert all(results == found[0] for results in found)


def test_every_demo_passage_begins_with_one_plain_sentence() -> None:
    found = list(passages(DEMO_CORPUS))
    assert len({passage.url for passage in found}) >= 12
    for passage in found:
        first = passage.content.split(". ")[0]
        assert first.isascii()
        assert not set("\"'\\*`[]") & set(first)
        assert 4 <= len(first.split()) < 25


def test_a_shape_counts_the_words_that_matter(demo: Search) -> None:
    assert demo.shape({"query": "what is the KV cache"}) == "terms:2"
    assert demo.shape({"query": " ".join(f"w{n}" for n in range(50))}) == "terms:8"
    assert demo.shape({"query": "?!"}) == "terms:0"


def test_markdown_becomes_plain_passages(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.md").write_text(
        "# Title\n\nFirst *bold* [link](http://x) and `code`.\nSame paragraph.\n\n"
        "## Part\n- one\n- two\n\n```\ncode is left out\n```\n\nLast.\n"
    )
    (tmp_path / "b.txt").write_text("No heading here.")
    (tmp_path / "c.png").write_bytes(b"\x89PNG")
    assert list(passages(tmp_path)) == [
        Passage("b", "docs/b.txt", "No heading here.", opening=True),
        Passage(
            "Title", "docs/sub/a.md", "First bold link and code. Same paragraph.", opening=True
        ),
        Passage("Title: Part", "docs/sub/a.md", "one two"),
        Passage("Title: Part", "docs/sub/a.md", "Last."),
    ]


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("Secret.")
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    assert list(passages(folder)) == []


def test_long_paragraphs_are_cut_between_sentences(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("A sentence of some words. " * 100 + "x" * 2000)
    found = [passage.content for passage in passages(tmp_path)]
    assert all(len(content) <= 800 for content in found)
    assert found[0].endswith("words.")
    assert sum(content.count("sentence") for content in found) == 100
