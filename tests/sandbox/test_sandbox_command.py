"""`dragoman sandbox` as its users start it."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from proxy.cli import main


def test_the_command_serves_every_platform_at_an_address_of_its_own(tmp_path: Path) -> None:
    rule = (
        "platform: mine\nupstream: https://api.example.com\nauth: none\nroutes:\n  GET /v1/voices: carry\nexamples:\n"
        "  - title: the voices\n    client: {send: GET /mine/v1/voices}\n"
        "    answer: {status: 200, json: {voices: [alto]}}\n    result: same\n"
    )
    (tmp_path / "mine.yaml").write_text(rule)
    line = [sys.executable, "-m", "proxy", "sandbox", "--listen", "127.0.0.1:0", "--rules", str(tmp_path)]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        found = re.search(r"listening on (http://127\.0\.0\.1:\d+);", said)
        assert found, said + process.stderr.read()
        assert httpx.get(f"{found[1]}/~mine/v1/voices", trust_env=False).json() == {"voices": ["alto"]}
        chat = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        assert httpx.post(f"{found[1]}/~openai/v1/chat/completions", json=chat, trust_env=False).status_code == 200
        assert httpx.post(f"{found[1]}/~mine/v1/chat/completions", json=chat, trust_env=False).status_code == 404
        unknown = httpx.get(f"{found[1]}/~mine/v1/nothing", trust_env=False)
        assert "'the voices' (mine.yaml:7)" in unknown.json()["error"]["message"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize("listen", ["8081", "127.0.0.1:", "::1:80", "127.0.0.1:70000"])
def test_an_address_that_is_none_is_refused(listen: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sandbox", "--listen", listen]) == 2
    assert "write HOST:PORT" in capsys.readouterr().err
