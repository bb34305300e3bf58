"""What a request says of itself: whose it is, and whom it belongs to. Identity is no authority."""

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Literal, TypeAlias

import msgspec

from gateway.config import SessionsConfig
from gateway.conversation import Messages
from gateway.errors import BadRequest
from gateway.wire import ApiRequest

MAX_BYTES = 256
VENDOR_CHARS = 8  # a header known only by its pattern must hold at least so much to count
KNOWN_HEADERS = 1024
MARK = ":"
NO = ("", "0", "false", "no")
_MINTED = re.compile("sess-[0-9a-f]{24}")

Kind: TypeAlias = Literal[
    "session", "agent", "agent_name", "parent", "parent_agent", "group", "end"
]
By: TypeAlias = Literal[
    "name", "tool_call", "response", "conversation", "cache_key", "prefix", "new"
]


class Claim(msgspec.Struct, frozen=True):
    """What a request says: names its client gave, and the conversation.

    `tenant` is a digest of the API key: the same session id under two keys is two sessions.
    """

    tenant: str
    session: str | None = None
    parent: str | None = None
    group: str | None = None
    agent: str | None = None
    """What the client calls the agent; for people only."""
    ends: bool = False
    """Whether this is the session's last request."""
    cache_key: str | None = None
    response: str | None = None
    """The answer this request goes on from, by its id."""
    conversation: str | None = None
    found: tuple[str, By] | None = None
    """The session it goes on from and how that was found, if another gateway has served it."""
    messages: Messages = ()
    digests: Sequence[int] = ()
    """Of the conversation up to each message, where they have been made already."""
    choices: int = 1


class Identity(msgspec.Struct, frozen=True):
    """Who a request belongs to, as recognised `by` something."""

    tenant: str
    session: str
    group: str | None
    named: bool
    """Whether the client named the session, and so can come back to it in any case."""
    parent: str | None = None
    agent: str | None = None
    by: By = "name"


class Names:
    """The names clients have for sessions, agents and groups, as configured."""

    def __init__(self, config: SessionsConfig) -> None:
        kinds: Mapping[Kind, tuple[str, ...]] = {
            "session": config.headers,
            "agent": config.agent_headers,
            "agent_name": config.agent_name_headers,
            "parent": config.parent_headers,
            "parent_agent": config.parent_agent_headers,
            "group": config.group_headers,
            "end": config.end_headers,
        }
        self._exact: dict[str, tuple[Kind, int, str]] = {}
        self._hits: dict[str, tuple[Kind, int, str, bool] | None] = {}
        patterns = []
        for kind, names in kinds.items():
            for rank, entry in enumerate(names):
                name, _, mark = entry.partition(MARK)
                name = _alike(name)
                if "*" in name:
                    patterns.append((re.compile(translate(name)), kind, rank))
                else:
                    self._exact.setdefault(name, (kind, rank, mark))
        self._patterns = tuple(patterns)
        self._fields = tuple(_Field.parse(entry) for entry in config.fields)
        self._parent_fields = tuple(_Field.parse(entry) for entry in config.parent_fields)
        both = self._fields + self._parent_fields
        own = (field.path[0] for field in both if len(field.path) == 1)
        self._own = (*own, "prompt_cache_key", "previous_response_id", "conversation")

    def claim(self, tenant: str, headers: Mapping[str, str], request: ApiRequest) -> Claim:
        """Read a request; header first, as vLLM does. Takes the names out of its body.

        Raises BadRequest for a name that is empty, too long or unprintable.
        """
        said = self._headers(headers)
        whole: Mapping[str, object] = request.body
        if request.echo and "metadata" in request.echo:
            whole = {**whole, "metadata": request.echo["metadata"]}
        session = said.get("session") or _first(self._fields, whole)
        parent = said.get("parent") or _first(self._parent_fields, whole)
        group, agent = said.get("group"), said.get("agent")
        if session is not None and agent is not None:
            # Agents of one run share its session id: a session is one agent's conversation.
            above = said.get("parent_agent")
            parent = parent or (f"{session}/{above}" if above else session)
            group = group or session
            session = f"{session}/{agent}"
        body = request.body
        claim = Claim(
            tenant=tenant,
            session=session,
            parent=parent if parent != session else None,
            group=group,
            agent=said.get("agent_name") or agent,
            ends=said.get("end", "").lower() not in NO,
            cache_key=checked("prompt_cache_key", body.get("prompt_cache_key")),
            response=checked("previous_response_id", body.get("previous_response_id")),
            conversation=_conversation(body.get("conversation")),
            messages=_messages(body),
            choices=n if isinstance(n := body.get("n"), int) else 1,
        )
        for name in self._own:
            body.pop(name, None)
        return claim

    def _headers(self, headers: Mapping[str, str]) -> dict[Kind, str]:
        found: dict[Kind, tuple[int, str]] = {}
        hits = self._hits
        for header, value in headers.items():
            hit = hits[header] if header in hits else self._look_up(header)
            if hit is None:
                continue
            kind, rank, mark, listed = hit
            name = _read(header, value, mark, listed) if kind != "end" else value
            if name is not None and (kind not in found or rank < found[kind][0]):
                found[kind] = rank, name
        return {kind: name for kind, (_, name) in found.items()}

    def _look_up(self, header: str) -> tuple[Kind, int, str, bool] | None:
        """What a header means; clients send the same ones again and again."""
        alike = _alike(header)
        exact = self._exact.get(alike)
        hit = None if exact is None else (*exact, True)
        for pattern, kind, rank in self._patterns:
            if hit is None and pattern.match(alike):
                hit = kind, rank, "", False
        if len(self._hits) < KNOWN_HEADERS:
            self._hits[header] = hit
        return hit


def _read(header: str, value: str, mark: str, listed: bool) -> str | None:
    if mark:
        return _after(mark, value)
    if listed:
        return checked(header, value)
    return value if is_name(value) and len(value) >= VENDOR_CHARS else None


@dataclass(frozen=True, slots=True)
class _Field:
    """A place in the body; with a mark, what follows it there."""

    path: tuple[str, ...]
    mark: str

    @classmethod
    def parse(cls, entry: str) -> "_Field":
        path, _, mark = entry.partition(MARK)
        return cls(tuple(path.split(".")), mark)

    def read(self, body: Mapping[str, object]) -> str | None:
        value: object = body
        for name in self.path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if self.mark:
            return _after(self.mark, value) if isinstance(value, str) else None
        return checked(".".join(self.path), value)


def _alike(header: str) -> str:
    return header.lower().replace("_", "-")


def _first(fields: Iterable[_Field], body: Mapping[str, object]) -> str | None:
    for field in fields:
        if field.path[0] in body and (name := field.read(body)) is not None:
            return name
    return None


def _after(mark: str, value: str) -> str | None:
    _, found, rest = value.partition(mark)
    name = re.split(r"[,;\s]", rest, maxsplit=1)[0]
    return name if found and is_name(name) else None


def mint() -> str:
    """The id of a session that nobody has named."""
    return f"sess-{secrets.token_hex(12)}"


def is_minted(session: str) -> bool:
    """Whether it looks like one of those, so that no word of anybody's is in it."""
    return _MINTED.fullmatch(session) is not None


def is_name(value: str) -> bool:
    """Whether it can be a name: ASCII, because the answer repeats the session in a header."""
    return 0 < len(value) <= MAX_BYTES and value.isascii() and value.isprintable()


def checked(name: str, value: object) -> str | None:
    """A name as a client gave it. Raises BadRequest."""
    if value is None:
        return None
    if not isinstance(value, str) or not value or not (value.isascii() and value.isprintable()):
        raise BadRequest(f"'{name}' must be a non-empty string of printable ASCII", param=name)
    if len(value) > MAX_BYTES:
        raise BadRequest(f"'{name}' must be at most {MAX_BYTES} bytes long", param=name)
    return value


def _conversation(value: object) -> str | None:
    if isinstance(value, Mapping):
        return checked("conversation.id", value.get("id"))
    return checked("conversation", value)


def _messages(body: Mapping[str, object]) -> Messages:
    messages = body.get("messages")
    return messages if isinstance(messages, list) else ()
