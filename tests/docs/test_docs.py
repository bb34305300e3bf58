"""docs/ says what the code does, and its commands work."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.api.generation import ENGINE_HEADER, REQUEST_HEADER, SESSION_HEADER
from gateway.config import GROUP_HEADERS, SESSION_HEADERS
from roundhouse.secret_files import NAMES
from tests.deploy.composed import DEPLOY, ROOT, composed
from tests.docs.reference import BLOCK, BLOCKS, DOCS, FILES, errors, written
from tests.docs.settings import rows

API = (DOCS / "api.md").read_text(encoding="utf-8")
OPERATIONS = (DOCS / "operations.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```bash\n(.*?)```", OPERATIONS, re.S)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_tables_are_what_the_code_says_now(file: Path) -> None:
    page = file.read_text(encoding="utf-8")
    remedy = "run: .venv/bin/python -m tests.docs.reference"
    assert page == written(page), remedy


def test_every_table_is_in_a_page() -> None:
    shown = {found[1] for file in FILES for found in BLOCK.findall(file.read_text("utf-8"))}
    assert shown == BLOCKS.keys()


@pytest.mark.parametrize("name", [ENGINE_HEADER, REQUEST_HEADER, *SESSION_HEADERS, *GROUP_HEADERS])
def test_a_header_the_gateway_knows_is_described(name: str) -> None:
    assert f"`{name}`" in API
    assert SESSION_HEADER in SESSION_HEADERS  # so what comes back can be sent again


def test_codes_that_are_given_where_an_error_is_raised_are_in_the_table() -> None:
    for code in ("queue_full", "queue_timeout", "engine_busy", "model_not_found", "unknown_url"):
        assert f"`{code}`" in errors()


def test_settings_are_found_in_every_section_and_below_names() -> None:
    found = {name: (default, words) for name, _, default, words in rows()}
    assert found["gateway.queue.wait_s"][0] == "`60`"
    assert found["engines[].weight"][0] == "`1`"
    assert found["engines[].model"][0] == "needed"
    assert found["engines[].model"][1].startswith("A folder or a hub id")
    assert found["tools_service.per_tool.NAME.slots"][0] == "none"
    silent = [name for name, (_, words) in found.items() if not words]
    assert len(silent) < len(found) / 10, silent


def test_every_secret_that_may_be_a_file_is_named() -> None:
    for name in NAMES:
        assert f"`{name}`" in OPERATIONS


@pytest.mark.parametrize(
    "command", [line for text in COMMANDS for line in text.splitlines() if "doctor" in line]
)
def test_a_question_to_the_doctor_is_answered(command: str) -> None:
    words = command.replace(".venv/bin/roundhouse", f"{sys.executable} -m roundhouse").split()
    answer = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode in (0, 1), answer.stderr
    assert "memory of " in answer.stdout


@pytest.mark.parametrize(
    "command", [line for text in COMMANDS for line in text.splitlines() if "docker compose" in line]
)
def test_a_compose_command_names_files_and_services_that_are_there(command: str) -> None:
    files = re.findall(r"-f (\S+)", command) or ["docker-compose.yml"]
    whole = composed(*(DEPLOY / file for file in files))
    profiles = {name for one in whole["services"].values() for name in one.get("profiles", ())}
    for said in re.findall(r"COMPOSE_PROFILES=([\w,]+)", command):
        assert set(said.split(",")) <= profiles
    for service in re.findall(r"(?:logs|exec|restart)(?: --?\S+)* ([\w-]+)", command):
        assert service in whole["services"]


def test_every_link_into_the_repository_leads_somewhere() -> None:
    for file in (*FILES, ROOT / "README.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)", file.read_text(encoding="utf-8")):
            assert (file.parent / target).exists(), f"{file.name}: {target}"
