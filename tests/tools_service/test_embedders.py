"""Vectors from a server and from a folder: asked well, and patient with who is overloaded."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from model2vec import StaticModel
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from tests.tools_service.embedding_stand_ins import SIZE, Embeddings
from tests.tools_service.web_stand_ins import serving
from tools_service.errors import ConfigError, RateLimited, ToolFailed
from tools_service.retrieval_config import EmbedderConfig
from tools_service.tools.retrieval import build
from tools_service.tools.retrieval.embedder import unit
from tools_service.tools.retrieval.embeddings_api import EmbeddingsApi
from tools_service.tools.retrieval.model_folder import ModelFolder

TEXTS = ["cats sleep", "dogs run", "cats sleeping"]


@asynccontextmanager
async def asking(
    server: Embeddings, paused: list[float] | None = None, **more: object
) -> AsyncIterator[EmbeddingsApi]:
    """The client of a running server; its pauses are noted and take no time."""

    async def pause(wait_s: float) -> None:
        assert paused is not None, "no pause was expected"
        paused.append(wait_s)

    async with serving(server.handle) as url, aiohttp.ClientSession() as http:
        config = EmbedderConfig.model_validate({"url": f"{url}/v1", "model": "m", **more})
        yield EmbeddingsApi(http, config, "sk-ours", pause)


async def test_vectors_come_in_the_order_of_the_texts_with_length_one() -> None:
    server = Embeddings()
    async with asking(server, batch=2) as api:
        rows = await api.embed(TEXTS)
    assert rows.shape == (3, SIZE)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)
    assert rows[0] @ rows[2] > rows[0] @ rows[1]
    assert server.batches == [TEXTS[:2], TEXTS[2:]]
    assert set(server.keys) == {"Bearer sk-ours"}


async def test_an_overloaded_server_is_asked_again_when_it_said() -> None:
    paused: list[float] = []
    server = Embeddings(refusals=[(429, {"Retry-After": "7"}), (503, {}), (500, {})])
    async with asking(server, paused) as api:
        assert len(await api.embed(TEXTS)) == 3
    assert paused[0] == 7
    assert 0.5 <= paused[1] <= 1.5 < 2 * paused[1] + 1
    assert 1 <= paused[2] <= 3


@pytest.mark.parametrize(
    ("refusals", "attempts", "error"),
    [
        ([(429, {"Retry-After": "2"})] * 2, 2, RateLimited),
        ([(429, {"Retry-After": "3600"})], 4, RateLimited),
        ([(503, {})] * 3, 3, ToolFailed),
    ],
)
async def test_its_patience_ends(
    refusals: list[tuple[int, Mapping[str, str]]], attempts: int, error: type[ToolFailed]
) -> None:
    server = Embeddings(refusals=list(refusals))
    async with asking(server, [], attempts=attempts) as api:
        with pytest.raises(error):
            await api.embed(TEXTS)
    assert len(server.batches) == len(refusals)


@pytest.mark.parametrize("status", [400, 401, 404, 302])
async def test_a_refusal_that_will_not_change_is_not_asked_twice(status: int) -> None:
    server = Embeddings(refusals=[(status, {"Location": "http://127.0.0.1:9/"})])
    async with asking(server) as api:
        with pytest.raises(ToolFailed, match=f"HTTP status {status}"):
            await api.embed(TEXTS)
    assert len(server.batches) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"data": []},
        {"data": "no"},
        [],
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}]},
        {"data": [{"index": 0, "embedding": []}, {"index": 1, "embedding": []}]},
        {"data": [{"index": 0, "embedding": [1e308]}, {"index": 1, "embedding": [1.0]}]},
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
async def test_an_answer_without_the_vectors_is_an_error(answer: object) -> None:
    async with asking(Embeddings(answer=answer)) as api:
        with pytest.raises(ToolFailed):
            await api.embed(TEXTS[:2])


async def test_a_server_that_is_not_there_is_an_error() -> None:
    config = EmbedderConfig(url="http://127.0.0.1:9/v1", model="m", attempts=1)
    async with aiohttp.ClientSession() as http:
        with pytest.raises(ToolFailed, match="cannot be reached"):
            await EmbeddingsApi(http, config, "").embed(TEXTS)


async def test_a_key_that_is_named_must_be_there() -> None:
    config = EmbedderConfig(url="http://127.0.0.1:9/v1", model="m", key_env="OURS")
    with pytest.raises(ConfigError, match="set OURS"):
        async with build.embedder(config, {}):
            pass


def test_a_vector_of_nothing_but_zeros_stays_one() -> None:
    assert unit([[0.0, 0.0]]).tolist() == [[0.0, 0.0]]


def model(folder: Path) -> Path:
    """A model2vec model of four words."""
    words = {"[UNK]": 0, "cats": 1, "dogs": 2, "sleep": 3}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    vectors = np.eye(4, dtype=np.float32)
    StaticModel(vectors, tokenizer, normalize=True).save_pretrained(folder)
    return folder


async def test_a_folder_makes_vectors_on_this_machine(tmp_path: Path) -> None:
    config = EmbedderConfig(folder=model(tmp_path / "model"))
    async with build.embedder(config, {}) as embedder:
        assert isinstance(embedder, ModelFolder)
        assert embedder.upstream is None
        cats, dogs, both = await embedder.embed(["cats", "dogs", "cats sleep"])
    assert both @ cats > both @ dogs
    again = ModelFolder(tmp_path / "model")
    assert again.space == embedder.space


async def test_a_folder_without_a_model_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config\.json"):
        async with build.embedder(EmbedderConfig(folder=tmp_path), {}):
            pass
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        async with build.embedder(EmbedderConfig(folder=tmp_path), {}):
            pass
