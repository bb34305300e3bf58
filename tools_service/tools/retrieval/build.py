"""From the settings to the parts of retrieval; each library is imported only where it is used."""

import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager

from tools_service.errors import ConfigError
from tools_service.retrieval_config import EmbedderConfig, RetrievalConfig, StoreConfig
from tools_service.tools.retrieval.embedder import Embedder
from tools_service.tools.retrieval.tool import Retrieve, VectorsOf
from tools_service.tools.retrieval.vectors import InFile


@asynccontextmanager
async def retrieve(config: RetrievalConfig, environ: Mapping[str, str]) -> AsyncIterator[Retrieve]:
    """The tool, for as long as the block. Raises ConfigError."""
    async with embedder(config.embedder, environ) as made:
        with stored(config.store, environ) as vectors:
            yield Retrieve(config.index, made, vectors)


@asynccontextmanager
async def embedder(
    config: EmbedderConfig, environ: Mapping[str, str]
) -> AsyncIterator[Embedder | None]:
    """The configured embedder, None if there is none. Raises ConfigError."""
    if config.folder is not None:
        try:
            from tools_service.tools.retrieval.model_folder import ModelFolder
        except ImportError as exc:
            raise _missing("retrieval.embedder.folder", "model2vec") from exc
        yield ModelFolder(config.folder)
    elif config.url is not None:
        import aiohttp

        from tools_service.tools.retrieval.embeddings_api import EmbeddingsApi

        key = environ.get(config.key_env or "", "")
        if config.key_env and not key:
            raise ConfigError(f"retrieval.embedder needs a key: set {config.key_env}")
        timeout = aiohttp.ClientTimeout(total=config.timeout_s)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as http:
            yield EmbeddingsApi(http, config, key)
    else:
        yield None


@contextmanager
def stored(config: StoreConfig, environ: Mapping[str, str]) -> Iterator[VectorsOf]:
    """Where the vectors of an open index lie. Raises ConfigError."""
    if config.kind == "sqlite":
        yield InFile
        return
    try:
        from tools_service.tools.retrieval.qdrant import Qdrant
    except ImportError as exc:
        raise _missing("retrieval.store.kind qdrant", "qdrant-client") from exc
    with closing(Qdrant(config, environ.get(config.key_env or "", ""))) as store:
        yield lambda connection: store


def _missing(setting: str, package: str) -> ConfigError:
    return ConfigError(
        f"{setting} needs {package}, which is not installed: "
        f"{sys.executable} -m pip install {package}"
    )
