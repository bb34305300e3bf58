"""Several rankings made one."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

K = 60


def fuse(rankings: Iterable[Sequence[int]]) -> list[tuple[int, float]]:
    """(id, score), best first: each ranking adds 1 / (60 + rank) to an id's score.

    Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009; k = 60 is theirs). It needs
    no scores, so that BM25 and cosines need not be made comparable.
    """
    scores: defaultdict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, one in enumerate(ranking, start=1):
            scores[one] += 1 / (K + rank)
    return sorted(scores.items(), key=lambda scored: (-scored[1], scored[0]))
