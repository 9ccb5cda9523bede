"""The answers of the matrix. Each SDK of each generation is asked once, for everything, in a process of its own; the tests look."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.matrix.stage import Stage, staged
from tests.matrix.table import ANSWERED, BROKEN, HERE, JS, OLDER, PAIRS, REFUSED, SDKS, job

Seen = dict[str, Any]
Look = Callable[[str, str, dict[str, Any]], tuple[Seen, list[str]]]
PATIENCE = 200  # seconds; bounds a hang


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    with staged(HERE / "rules") as made:
        yield made


@pytest.fixture(scope="session")
def drivers(request: pytest.FixtureRequest, stage: Stage) -> Iterator[dict[tuple[str, str], Future[Seen]]]:
    """All drivers that a selected test looks at, at work side by side."""
    wanted = {(SDKS[item.callspec.params["client"]], item.callspec.params["reader"]) for item in selected(request)}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {(sdk, reader): pool.submit(drive, sdk, reader, stage.host.url) for sdk, reader in sorted(wanted)}


def selected(request: pytest.FixtureRequest) -> list[Any]:
    return [item for item in request.session.items if "look" in getattr(item, "fixturenames", ())]


@pytest.fixture
def look(stage: Stage, drivers: dict[tuple[str, str], Future[Seen]]) -> Look:
    """What a reader has seen in a job, and the paths that the platform was asked for: `look(client, reader, job)`."""

    def see(client: str, reader: str, job: dict[str, Any]) -> tuple[Seen, list[str]]:
        if reason := missing(reader):
            pytest.skip(reason)
        return drivers[SDKS[client], reader].result()[job["id"]], stage.paths(job["id"])

    return see


def missing(reader: str) -> str | None:
    """Why a reader cannot be asked; None when it can."""
    if reader == "older" and not OLDER.exists():
        return "the older SDKs are missing: make test installs them beside the tests' own"
    if reader == "js" and shutil.which("node") is None:
        return "node is not installed"
    if reader == "js" and not (JS / "node_modules").is_dir():
        return "the packages are missing: npm ci --prefix tests/js --ignore-scripts"
    return None


def command(sdk: str, reader: str) -> list[str]:
    if reader == "js":
        return [shutil.which("node") or "node", str(JS / "matrix" / f"{sdk}.mjs")]
    return [sys.executable if reader == "now" else str(OLDER), str(HERE / "drivers" / f"{sdk}_driver.py")]


def drive(sdk: str, reader: str, url: str) -> Seen:
    """Everything that an SDK has seen."""
    if missing(reader):
        return {}
    jobs = [
        job(client, platform, reader, case, url)
        for client, platform in PAIRS
        for case in (*ANSWERED, *REFUSED, *BROKEN)
        if SDKS[client] == sdk
    ]
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    # Nothing but the gateway is asked, whatever proxy the machine has.
    done = subprocess.run(
        command(sdk, reader), input=json.dumps(jobs).encode(), capture_output=True, timeout=PATIENCE, check=False, env=environ
    )
    assert done.returncode == 0, done.stderr.decode()
    seen: Seen = json.loads(done.stdout)
    return seen
