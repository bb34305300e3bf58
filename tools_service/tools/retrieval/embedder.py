"""What makes vectors of texts."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tools_service.errors import ToolFailed

Matrix = npt.NDArray[np.float32]


class Embedder(Protocol):
    """Vectors of one `space` can be compared with each other and with no others."""

    space: str
    upstream: str | None
    """As in `Tool.upstream`."""

    async def embed(self, texts: Sequence[str]) -> Matrix:
        """One row for each text, each of length 1. Raises ToolFailed."""
        ...


def unit(rows: object) -> Matrix:
    """The rows at length 1, so that a product of two is their cosine. Raises ToolFailed."""
    try:
        matrix = np.asarray(rows, dtype=np.float32)
    except ValueError:
        raise ToolFailed("the embedder gave vectors of different sizes") from None
    if matrix.ndim != 2 or not matrix.shape[1] or not np.isfinite(matrix).all():
        raise ToolFailed("the embedder gave vectors that are none")
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)
