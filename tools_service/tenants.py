"""Which tools a tenant may use."""

from collections.abc import Mapping

from tools_service.tokens import OPERATOR

EVERYONE_ELSE = "*"
EVERY_TOOL = "*"


class Tenants:
    """The allow-lists of the settings. Without any, everybody may use every tool."""

    def __init__(self, lists: Mapping[str, tuple[str, ...]]) -> None:
        self._lists = {name: frozenset(tools) for name, tools in lists.items()}

    def allowed(self, caller: str) -> frozenset[str] | None:
        """The tools of a caller; None: all. Who is named nowhere gets none.

        The operator knows the secret that all other names are signed with: there is no use in
        keeping anything from them.
        """
        if not self._lists or caller == OPERATOR:
            return None
        own = self._lists.get(caller, self._lists.get(EVERYONE_ELSE, frozenset()))
        return None if EVERY_TOOL in own else own
