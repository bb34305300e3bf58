"""Which tools of one upstream are served, as its pins and its list say."""

import logging
from collections.abc import Collection

from tools_service.errors import ConfigError, NameTaken
from tools_service.tools.registry import Registry, owner
from tools_service.tools.upstream.offers import Offer, check, prefix, served_name
from tools_service.tools.upstream.pins import Pins
from tools_service.tools.upstream.tool import Ask, UpstreamTool
from tools_service.upstream_config import UpstreamConfig

logger = logging.getLogger(__name__)


class Shelf:
    """One upstream's part of the registry."""

    def __init__(self, name: str, config: UpstreamConfig, registry: Registry) -> None:
        self._name = name
        self._config = config
        self._registry = registry
        self._served: dict[str, Offer] = {}

    @property
    def prefix(self) -> str:
        """What the upstream's names get in front."""
        return prefix(self._name, self._config)

    def allows(self, tool: str) -> bool:
        """The settings let it be served."""
        return self._config.tools == "all" or tool in self._config.tools

    def put(self, pins: Pins, offers: Collection[Offer] | None, ask: Ask) -> None:
        """Serves what is accepted and still offered (None: nobody could ask) and no more."""
        offered = None if offers is None else {offer.name for offer in offers}
        for name, offer in pins.accepted.items():
            if not self.allows(name):
                continue
            if name in pins.changed:
                self._withdraw(name, self._changed)
            elif offered is not None and name not in offered:
                self._withdraw(name, f"upstream {self._name} offers it no longer")
            elif self._served.get(name) != offer:
                self._serve(offer, ask)

    @property
    def _changed(self) -> str:
        return (
            f"upstream {self._name} offers it otherwise than was accepted; an operator must accept "
            "the change first"
        )

    def _serve(self, offer: Offer, ask: Ask) -> None:
        tool = UpstreamTool(self._name, self.prefix, self._config.trusted, offer, ask)
        try:
            check(self.prefix, offer)
            if tool.name in self._served_beside(offer.name):
                raise NameTaken(tool.name, owner(self._name), owner(self._name))
            self._registry.add(tool)
        except ConfigError as exc:
            logger.error("upstream %s: %s is not served: %s", self._name, offer.name, exc)
        else:
            logger.info("upstream %s: %s is served as accepted", self._name, offer.name)
        # Noted even so: it is said once, not with every list.
        self._served[offer.name] = offer

    def _withdraw(self, name: str, why: str) -> None:
        self._served.pop(name, None)
        served = served_name(self.prefix, name)
        if served not in self._served_beside(name):
            self._registry.withdraw(served, self._name, why)

    def _served_beside(self, name: str) -> set[str]:
        """The served names of the other tools: `a.b` and `a/b` would both be `a_b`."""
        return {served_name(self.prefix, other) for other in self._served if other != name}
