"""The tools of upstreams as they were accepted: trust on first use, then only by a person's word.

A server can change what its tools say after somebody has looked at them. So the first description
of a tool is kept, a different one withdraws the tool, and it comes back when the change is accepted
or undone.
"""

import fcntl
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tools_service import table_file
from tools_service.errors import ConfigError
from tools_service.tools.upstream.offers import Offer


class Pins(msgspec.Struct):
    """One upstream's tools by name: what is accepted, and what it offers instead."""

    accepted: dict[str, Offer] = {}
    changed: dict[str, Offer] = {}


class _Whole(msgspec.Struct, forbid_unknown_fields=True):
    version: int = 1
    upstreams: dict[str, Pins] = {}


def judge(pins: Pins, offers: Collection[Offer], everything: bool) -> Pins:
    """The pins after the upstream has listed its tools.

    A tool never seen is accepted when the settings name it. Where they say `everything`, only the
    first list is: a tool that is added later is a change.
    """
    first = not pins.accepted and not pins.changed
    accepted = dict(pins.accepted)
    changed: dict[str, Offer] = {}
    for offer in offers:
        if offer.name not in accepted and (first or not everything):
            accepted[offer.name] = offer
        elif accepted.get(offer.name) != offer:
            changed[offer.name] = offer
    return Pins(accepted, changed)


class PinsFile:
    """The pins of all upstreams in one file, which the service and the command both write."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, upstream: str) -> Pins:
        """What is known of one upstream. Raises ConfigError: unreadable pins protect nobody."""
        return self._read().upstreams.get(upstream, Pins())

    def note(self, upstream: str, offers: Collection[Offer], everything: bool) -> tuple[Pins, Pins]:
        """(the pins before, the pins after) this list. Raises ConfigError, OSError."""
        with self._locked():
            whole = self._read()
            before = whole.upstreams.get(upstream, Pins())
            after = judge(before, offers, everything)
            if after != before:
                whole.upstreams[upstream] = after
                self._write(whole)
        return before, after

    def accept(self, upstream: str) -> list[tuple[Offer | None, Offer]]:
        """(as it was, as it is from now on) of every changed tool. Raises ConfigError, OSError."""
        with self._locked():
            whole = self._read()
            pins = whole.upstreams.get(upstream, Pins())
            changes = [(pins.accepted.get(name), offer) for name, offer in pins.changed.items()]
            whole.upstreams[upstream] = Pins({**pins.accepted, **pins.changed}, {})
            if changes:
                self._write(whole)
        return changes

    def _read(self) -> _Whole:
        try:
            whole = msgspec.json.decode(self._path.read_bytes(), type=_Whole)
        except FileNotFoundError:
            return _Whole(upstreams={})
        except (OSError, msgspec.DecodeError) as exc:
            raise ConfigError(f"the pins in {self._path} can't be read: {exc}") from exc
        if whole.version != 1:
            raise ConfigError(f"the pins in {self._path} are of a later version")
        return whole

    def _write(self, whole: _Whole) -> None:
        data = msgspec.json.encode(whole, order="sorted")
        table_file.write(self._path, msgspec.json.format(data, indent=1))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # The file itself is replaced with every write, so the lock is one beside it.
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{self._path}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
