"""nginx and Caddy as plain processes with the set-ups of deploy/proxy, before a gateway."""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.composed import DEPLOY

PROGRAMS = ("nginx", "caddy")
PLACES = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))
NAME = "llm.example.com"


@dataclass(frozen=True, slots=True)
class Front:
    """What a proxy is told for a test: everything else is the shipped file's."""

    port: int
    gateway: str
    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "fullchain.pem"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def trust(self) -> ssl.SSLContext:
        """Trusts the certificate of this front and no other."""
        return ssl.create_default_context(cafile=str(self.certificate))


def program(name: str) -> str:
    """Where the program is. Without it the test is skipped; where everything must be, it fails."""
    found = shutil.which(name, path=PLACES)
    if found is not None:
        return found
    said = f"{name} is not installed: scripts/services installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(said)
    pytest.skip(said)


def nginx(front: Front) -> list[str]:
    """In one process, in the foreground, with everything it writes inside the folder."""
    folder = front.folder
    text = (DEPLOY / "proxy" / "nginx.conf").read_text(encoding="utf-8")
    text = text.replace("server 127.0.0.1:8000;", f"server {front.gateway};")
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{front.port} ssl;")
    text = text.replace("/etc/ssl/roundhouse", str(folder))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    whole = (
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{text}}}\n"
    )
    (folder / "nginx.conf").write_text(whole)
    return [program("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def caddy(front: Front) -> list[str]:
    """With a certificate of the test's instead of one it would ask for."""
    text = (DEPLOY / "proxy" / "Caddyfile").read_text(encoding="utf-8")
    text = text.replace("reverse_proxy 127.0.0.1:8000", f"reverse_proxy {front.gateway}")
    key = front.folder / "privkey.pem"
    text = text.replace(f"{NAME} {{", f"{front.url} {{\n\ttls {front.certificate} {key}")
    (front.folder / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https off\n}\n" + text)
    return [program("caddy"), "run", "--config", str(front.folder / "Caddyfile")]


COMMANDS: dict[str, Callable[[Front], list[str]]] = {"nginx": nginx, "caddy": caddy}


@asynccontextmanager
async def proxied(name: str, gateway: str, folder: Path) -> AsyncIterator[Front]:
    """The proxy before the gateway at host:port, listening; ended with the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        front = Front(free.getsockname()[1], gateway, folder)
    make_certificate(folder)
    process = await asyncio.create_subprocess_exec(
        *COMMANDS[name](front),
        env={"PATH": os.defpath, "HOME": str(folder), "XDG_DATA_HOME": str(folder)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await listening(front, process)
        yield front
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def listening(front: Front, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(30):
        while True:
            assert process.returncode is None, "the proxy ended at its start"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", front.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def make_certificate(folder: Path) -> None:
    subject = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=IP:127.0.0.1,DNS:{NAME}"]
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    run([*new, "-nodes", "-days", "2", *subject, *files])


def run(command: Iterable[str]) -> None:
    subprocess.run(list(command), check=True, capture_output=True)
