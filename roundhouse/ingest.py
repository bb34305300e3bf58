"""`roundhouse ingest`: this process becomes the tools service's own `ingest`."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from roundhouse.config import Profile
from roundhouse.launch import alone


def become_ingest(profile: Profile, folder: Path, env: Mapping[str, str]) -> NoReturn:
    """Does not return: terminal, signals and exit status are the ingest's from here on."""
    program = alone(profile, "tools_service", env)
    # Whether it may listen is checked with the rest of the settings, though it never will.
    token = {"ROUNDHOUSE_TOOLS_TOKEN": secrets.token_urlsafe(32)}
    command = [*program.argv, "ingest", str(folder)]
    os.execve(command[0], command, token | dict(program.env))
