"""The settings of `retrieve` and of `roundhouse ingest`: the index, its vectors, its chunks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tools_service.settings import WEB_URL, PositiveSeconds, Settings


class EmbedderConfig(Settings):
    """Who makes vectors of texts: a server, a folder, or (neither) nobody."""

    url: str | None = Field(
        default=None, pattern=WEB_URL, description="an OpenAI-compatible API, up to and with /v1"
    )
    model: str | None = Field(default=None, min_length=1, description="the model of that API")
    key_env: str | None = Field(
        default=None, min_length=1, description="variable with the key of that API"
    )
    folder: Path | None = Field(default=None, description="a model2vec model on this machine")
    batch: Annotated[int, Field(ge=1, le=2048)] = Field(
        default=64, description="texts in one request"
    )
    timeout_s: PositiveSeconds = 30.0
    attempts: Annotated[int, Field(ge=1, le=10)] = Field(
        default=4, description="requests for one batch while the API is overloaded or away"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.url is not None and self.folder is not None:
            raise ValueError("an embedder has a url or a folder, not both")
        if (self.url is None) != (self.model is None):
            raise ValueError("the url of an embedder and its model go together")
        if self.key_env is not None and self.url is None:
            raise ValueError("key_env goes with url")
        return self

    @property
    def is_set(self) -> bool:
        """Somebody makes vectors."""
        return self.url is not None or self.folder is not None


class StoreConfig(Settings):
    """Where vectors lie: in the index file, or in Qdrant for large corpora."""

    kind: Literal["sqlite", "qdrant"] = "sqlite"
    url: str | None = Field(default=None, pattern=WEB_URL, description="address of a Qdrant server")
    path: Path | None = Field(
        default=None, description="folder of a Qdrant inside the process; one process at a time"
    )
    key_env: str | None = Field(
        default=None, min_length=1, description="variable with the key of that server"
    )
    collection: str = Field(default="roundhouse", pattern=r"^[A-Za-z0-9_-]{1,64}$")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        places = [place for place in (self.url, self.path) if place is not None]
        if self.kind == "sqlite" and (places or self.key_env):
            raise ValueError("url, path and key_env are for store kind qdrant")
        if self.kind == "qdrant" and len(places) != 1:
            raise ValueError("store kind qdrant needs a url, or a path")
        if self.key_env is not None and self.url is None:
            raise ValueError("key_env goes with url")
        return self


class RetrievalConfig(Settings):
    """What `ingest` writes and `retrieve` reads."""

    index_path: Path = Field(
        default=Path("~/.local/share/roundhouse/index.sqlite"), description="the index, one file"
    )
    embedder: EmbedderConfig = EmbedderConfig()
    store: StoreConfig = StoreConfig()
    chunk_chars: Annotated[int, Field(ge=200, le=8000)] = Field(
        default=1200, description="longest chunk, the unit that is found"
    )
    overlap_chars: Annotated[int, Field(ge=0)] = Field(
        default=150, description="what a chunk repeats of the one before it, at most"
    )
    file_bytes: Annotated[int, Field(ge=1024, le=1024**3)] = Field(
        default=16 * 1024 * 1024, description="larger files are left out"
    )

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.overlap_chars * 2 > self.chunk_chars:
            raise ValueError("overlap_chars must be at most half of chunk_chars")
        if self.store.kind == "qdrant" and not self.embedder.is_set:
            raise ValueError(
                "store kind qdrant needs an embedder: without one there are no vectors"
            )
        return self

    @property
    def index(self) -> Path:
        """The index file, `~` spelled out."""
        return self.index_path.expanduser()


def keys(config: RetrievalConfig, environ: Mapping[str, str]) -> tuple[str, str]:
    """Those of the embedder and of the store, empty where there is none."""
    return (
        environ.get(config.embedder.key_env or "", ""),
        environ.get(config.store.key_env or "", ""),
    )
