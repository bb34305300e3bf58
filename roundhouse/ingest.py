"""`roundhouse ingest`: this process becomes the tools service's own `ingest`."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from roundhouse.config import Profile
from roundhouse.launch import argv, settings, tools_token


def become_ingest(profile: Profile, folder: Path, env: Mapping[str, str]) -> NoReturn:
    """Does not return: terminal, signals and exit status are the ingest's from here on.

    The settings go along in memory, since nobody is left to remove a file.
    """
    file = os.memfd_create("settings", 0)  # without close-on-exec
    with open(file, "w", closefd=False) as out:
        json.dump(settings(profile), out)
    command = [*argv("tools_service", Path(f"/proc/self/fd/{file}")), "ingest", str(folder)]
    # Whether it may listen is checked with the rest of the settings, though it never will.
    token = {"ROUNDHOUSE_TOOLS_TOKEN": tools_token(profile, env)}
    os.execve(command[0], command, {**env, **token})
