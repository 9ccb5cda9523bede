"""An upstream that nobody here wrote: aimock (npm `@copilotkit/aimock`) in a process of its own, and a gateway in front of it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.harness.gateway import SECRET
from tests.peers.aimock import Aimock
from tests.sdk.host import PLATFORMS, Host, running, until

HERE = Path(__file__).parent
PROGRAM = HERE.parent / "js" / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
SECRETS = {"OPENAI_API_KEY": SECRET, "ANTHROPIC_API_KEY": SECRET, "GEMINI_API_KEY": SECRET}


@pytest.fixture(scope="session")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aimock]:
    """aimock with the fixtures beside this file. It lets only the gateway's key in, and any other credential makes it refuse."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    if not PROGRAM.exists():
        pytest.skip("aimock is missing: npm ci --prefix tests/js --ignore-scripts")
    output = tmp_path_factory.mktemp("aimock") / "output"
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [node, str(PROGRAM), "--port", "0", "--fixtures", str(HERE / "fixtures.json"), "--validate-on-load"],
            stdout=sink,
            stderr=sink,
            env={**os.environ, "AIMOCK_API_KEYS": SECRET},
        )
    try:
        until(lambda: process.poll() is not None or "listening on http://" in output.read_text())
        assert process.poll() is None, output.read_text()
        url = output.read_text().partition("listening on ")[2].split()[0]
        address = urlsplit(url)
        assert address.hostname is not None
        assert address.port is not None
        yield Aimock(url, (address.hostname, address.port))
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def gateway(aimock: Aimock) -> Iterator[Host]:
    """A gateway whose platforms are all aimock."""
    with running(sandbox=False, upstreams=dict.fromkeys(PLATFORMS, aimock.url), environ=SECRETS) as host:
        yield host
