"""API keys and what each may: from the settings, a file, or the store that gateways share."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from gateway.wire import TIERS, Tier

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a key may; what is not said is not limited."""

    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = None
    """Prompt and answer together, cached tokens too."""
    sessions: Count | None = None
    """Sessions with a request at the same time."""
    service_tier: Tier = "default"
    """Who waits goes in this order; a request may ask for less than its key's."""
    weight: Positive = 1.0
    """The key's share of the engines' caches against the other keys'."""

    @property
    def are_limited(self) -> bool:
        """Whether there is anything to count."""
        rates = (self.requests_per_minute, self.tokens_per_minute, self.sessions)
        return rates != (None, None, None)

    def tier(self, asked: Tier | None) -> Tier:
        """The service tier of a request that asks for this one."""
        own = TIERS.index(self.service_tier)
        return TIERS[own if asked is None else max(own, TIERS.index(asked))]


class _Key(Terms, frozen=True, forbid_unknown_fields=True):
    digest: Digest = ""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: list[_Key]


def digest(key: str) -> str:
    """The SHA-256 of a key in hexadecimal digits: what files, the store and logs know of it."""
    return hashlib.sha256(key.encode()).hexdigest()


def read(path: Path) -> Mapping[str, Terms]:
    """The terms of a file's keys, by digest. Raises ValueError and OSError."""
    try:
        file = msgspec.yaml.decode(path.read_bytes(), type=_File)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path}: {error}") from error
    found = {key.digest: _terms(key) for key in file.keys}
    if "" in found:
        raise ValueError(f"{path}: every key needs its digest: printf %s KEY | sha256sum")
    if len(found) < len(file.keys):
        raise ValueError(f"{path}: a digest is there twice")
    return found


def decode(stored: bytes) -> Terms | None:
    """The terms as the store has them, in JSON; None if they can't be read."""
    try:
        return msgspec.json.decode(stored, type=Terms)
    except msgspec.MsgspecError:
        return None


def _terms(key: _Key) -> Terms:
    fields = {name: getattr(key, name) for name in Terms.__struct_fields__}
    return Terms(**fields)
