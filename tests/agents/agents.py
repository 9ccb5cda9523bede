"""The coding agents: how each is started without a terminal, where it finds the gateway and nothing else, and its last words.

The packages are those of package.json beside this file, installed without their install scripts: none of the three needs them.
"""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = HERE / "node_modules"
NODE = shutil.which("node")
KEY = "sk-test-client-key"
PATIENCE = 120  # seconds; bounds a hang


@dataclass(frozen=True, slots=True)
class Start:
    """How an agent is started: arguments after its program, environment, and files below its home."""

    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent: the protocol it speaks, its program below `PACKAGES`, its start, and its last words in what it printed."""

    name: str
    protocol: str
    program: str
    start: Callable[[str, str, str], Start]  # base URL of the platform, model, prompt
    last_words: Callable[[str], str]

    @property
    def installed(self) -> bool:
        whole = PACKAGES / ".package-lock.json"  # npm writes it last
        return NODE is not None and whole.exists() and (PACKAGES / self.program).exists()


def run(agent: Agent, directory: Path, *, base: str, model: str, prompt: str, proxy: str) -> str:
    """What the agent says in the end. It works in `directory`, with a home of its own; whatever is not on this machine it can ask
    for at `proxy` only."""
    assert NODE is not None
    home, work = directory / "home", directory / "work"
    start = agent.start(base, model, prompt)
    for name, text in start.files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    proxies = {name: proxy for word in ("http_proxy", "https_proxy", "all_proxy") for name in (word, word.upper())}
    inherited = {name: os.environ[name] for name in ("PATH", "LANG", "DRAGOMAN_CI_MARK") if name in os.environ}
    local = {"HOME": str(home), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "NO_COLOR": "1"}
    process = subprocess.Popen(
        [NODE, str(PACKAGES / agent.program), *start.arguments],
        cwd=work,
        env={**inherited, **proxies, **local, **start.environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, complained = process.communicate(timeout=PATIENCE)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)  # it, if it hangs, and whatever it has left behind
        except ProcessLookupError:
            pass
        process.wait()
    assert process.returncode == 0, f"{agent.name} ended with {process.returncode}:\n{said}\n{complained}"
    return agent.last_words(said)


# --- messages ---


def _claude(base: str, model: str, prompt: str) -> Start:
    return Start(
        ("-p", prompt, "--model", model, "--output-format=json", "--max-turns=4", "--tools=Bash", "--allowedTools=Bash"),
        {"ANTHROPIC_BASE_URL": base, "ANTHROPIC_API_KEY": KEY, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
        {},
    )


def _claude_said(output: str) -> str:
    return str(json.loads(output)["result"])


# --- responses ---

_CODEX = """\
model = "{model}"
model_provider = "gateway"
check_for_update_on_startup = false

[model_providers.gateway]
name = "gateway"
base_url = "{base}/v1"
env_key = "GATEWAY_KEY"
wire_api = "responses"

[analytics]
enabled = false

[features]
plugins = false
"""


def _codex(base: str, model: str, prompt: str) -> Start:
    return Start(
        ("exec", "--json", "--strict-config", "--skip-git-repo-check", "--sandbox", "danger-full-access", prompt),
        {"GATEWAY_KEY": KEY},
        {".codex/config.toml": _CODEX.format(model=model, base=base)},
    )


def _codex_said(output: str) -> str:
    events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert events[-1]["type"] == "turn.completed", output
    said = [event["item"]["text"] for event in events if event.get("item", {}).get("type") == "agent_message"]
    return str(said[-1])


# --- generate ---

_GEMINI = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
    "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
}


def _gemini(base: str, model: str, prompt: str) -> Start:
    return Start(
        ("-m", model, "--skip-trust", "--yolo", "--output-format", "json", "-p", prompt),
        {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": base},
        {".gemini/settings.json": json.dumps(_GEMINI)},
    )


def _gemini_said(output: str) -> str:
    return str(json.loads(output)["response"])


AGENTS = {
    agent.name: agent
    for agent in (
        Agent("claude", "messages", "@anthropic-ai/claude-code/cli-wrapper.cjs", _claude, _claude_said),
        Agent("codex", "responses", "@openai/codex/bin/codex.js", _codex, _codex_said),
        Agent("gemini", "generate", "@google/gemini-cli/bundle/gemini.js", _gemini, _gemini_said),
    )
}
