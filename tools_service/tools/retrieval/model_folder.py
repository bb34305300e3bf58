"""Vectors from a model2vec folder: static embeddings, made on this machine in microseconds."""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path

from model2vec import StaticModel

from tools_service.errors import ConfigError
from tools_service.tools.retrieval.embedder import Matrix, unit

_FILES = ("config.json", "model.safetensors", "tokenizer.json")


class ModelFolder:
    """A model of this machine; nothing is ever downloaded."""

    upstream: str | None = None

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError."""
        # Asked first: the library would take a name that is no folder for one on a hub.
        missing = [name for name in _FILES if not (folder / name).is_file()]
        if missing:
            raise ConfigError(f"embedder.folder {folder} is no model2vec model: no {missing[0]}")
        try:
            self._model = StaticModel.from_pretrained(folder, force_download=False)
        except Exception as exc:  # tokenizers raises nothing more special for a damaged file
            raise ConfigError(f"embedder.folder {folder} cannot be loaded: {exc}") from exc
        with (folder / "model.safetensors").open("rb") as weights:
            self.space = f"folder:{hashlib.file_digest(weights, 'sha256').hexdigest()[:16]}"

    async def embed(self, texts: Sequence[str]) -> Matrix:
        return await asyncio.to_thread(self._embed, list(texts))

    def _embed(self, texts: list[str]) -> Matrix:
        return unit(self._model.encode(texts, use_multiprocessing=False))
