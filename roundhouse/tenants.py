"""The names of tenants, as the gateway makes them from API keys."""

from collections.abc import Mapping
from typing import TextIO

from gateway.access import tenant_of
from roundhouse.secret_files import with_files


def names(environ: Mapping[str, str], typed: TextIO) -> list[str]:
    """One name for each key: those of the environment or, if it has none, those typed in.

    Raises ConfigFault.
    """
    text = with_files(environ).get("ROUNDHOUSE_API_KEYS", "").strip() or typed.read()
    keys = text.replace(",", "\n").splitlines()
    return [tenant_of(key.strip()) for key in keys if key.strip()]
