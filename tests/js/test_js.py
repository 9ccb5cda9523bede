"""The official JavaScript SDKs through the gateway, unchanged but for their base URL. The scripts beside this file do the asking.

Optional: `make test` installs the packages where npm is there.
"""

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from proxy.routing.gate import hash_licence
from tests.sdk.host import Host, running

HERE = Path(__file__).parent
NODE = shutil.which("node")
QUESTION = "Grüße an 東京 🙂"
LICENCE = "dm-test-licence"

pytestmark = [
    pytest.mark.js,
    pytest.mark.skipif(NODE is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (HERE / "node_modules").is_dir(), reason="the packages are missing: npm ci --prefix tests/js --ignore-scripts"
    ),
    # The sandbox reads forms with aiohttp's reader, which warns about a call of its own when a part ends in the middle of a read.
    pytest.mark.filterwarnings(r"ignore:unread_data\(\) is deprecated:DeprecationWarning"),
]


def ask(script: str, base: str, key: str = "sk-test-client-key") -> dict[str, Any]:
    """Run a script and read what it printed; a script that fails fails the test with its own words."""
    assert NODE is not None
    done = subprocess.run([NODE, script, base, key], cwd=HERE, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check_failures(found: dict[str, Any], *broken: str) -> None:
    """A limit and an error status become the SDK's own error, and nothing that broke ended cleanly."""
    assert (found["limited"]["own"], found["limited"]["status"]) == (True, 429)
    assert (found["broken"]["own"], found["broken"]["status"]) == (True, 500)
    assert [name for name in broken if "ended" in found[name]] == []


def check_answers(found: dict[str, Any]) -> None:
    assert QUESTION in found["plain"]
    assert found["streamed"] == found["plain"]
    assert found["tool"] == ["get_weather", "Paris"]
    assert "18 degrees" in found["after"]


def test_the_openai_client_is_carried() -> None:
    with running() as host:
        found = ask("openai.mjs", host.url + "/openai/v1")
    check_answers(found)
    assert found["chunks"] > 5
    assert "Say hi" in found["response"]
    assert found["response_streamed"] == found["response"]
    assert found["events"] == list(range(len(found["events"])))
    assert found["embeddings"] == [2, 2]  # in base64, which the client asks for, they are as long as the example has them
    assert base64.b64decode(found["picture"]).startswith(b"\x89PNG")
    assert "gpt-4o" in found["models"]
    check_failures(found, "cut", "cut_stream", "reset_stream")
    assert found["limited"]["retry_after"] == "1"


def test_the_anthropic_client_is_carried() -> None:
    with running() as host:
        found = ask("anthropic.mjs", host.url + "/anthropic")
    check_answers(found)
    assert (found["events"][0], found["events"][-1]) == ("message_start", "message_stop")
    assert found["counted"][0] == found["counted"][1]
    check_failures(found, "cut", "cut_stream", "reset_stream")
    assert found["limited"]["retry_after"] == "1"
    assert found["overloaded"]["status"] == 529


def test_the_genai_client_is_carried() -> None:
    with running() as host:
        found = ask("genai.mjs", host.url + "/gemini")
    check_answers(found)
    assert found["chunks"] > 5
    assert found["embeddings"] == [8, 8]
    assert found["counted"] == 4
    check_failures(found, "cut", "cut_stream", "reset_stream")


@pytest.mark.parametrize(
    ("script", "prefix"), [("openai.mjs", "/openai/v1"), ("anthropic.mjs", "/anthropic"), ("genai.mjs", "/gemini")]
)
def test_a_licence_in_place_of_the_key_lets_the_client_in(script: str, prefix: str) -> None:
    with running(record=True, licences=(hash_licence(LICENCE),)) as host:
        check_answers(ask(script, host.url + prefix, LICENCE))
        assert LICENCE.encode() not in host.recorded.heard()
        refused(host, script, prefix)


def refused(host: Host, script: str, prefix: str) -> None:
    """With a wrong licence the first question already fails, and nothing more goes upstream."""
    before = len(host.recorded.heard())
    with pytest.raises(AssertionError, match="This licence is not known here"):
        ask(script, host.url + prefix, "dm-test-wrong-licence")
    assert len(host.recorded.heard()) == before
