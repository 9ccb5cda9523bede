"""Real coding agents finish a task with a tool call on a platform that speaks another protocol than they do.

Optional: `make agents` installs them (about 860 MB); without them these tests are skipped.
"""

import uuid
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.agents.agents import AGENTS, run
from tests.agents.elsewhere import elsewhere
from tests.matrix.stage import Stage, staged
from tests.matrix.table import PATHS

pytestmark = pytest.mark.agents

SPEAKS = {"openai": "chat", "deepseek": "chat", "anthropic": "messages", "gemini": "generate"}
# What a platform is asked in, where that is not its one protocol: this one has the agent's own.
OWN = {("codex", "openai"): "responses"}


@pytest.fixture(scope="module")
def agents_stage() -> Iterator[Stage]:
    with staged() as stage:
        yield stage


@pytest.mark.parametrize(("name", "platform"), list(product(AGENTS, SPEAKS)))
def test_an_agent_runs_a_command_and_tells_what_it_printed(agents_stage: Stage, tmp_path: Path, name: str, platform: str) -> None:
    agent = AGENTS[name]
    if not agent.installed:
        pytest.skip(f"{name} is missing: make agents installs it")
    word = f"dragoman-{uuid.uuid4().hex[:8]}"
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "note").write_text(word)
    agents_stage.asked.clear()
    base = f"{agents_stage.host.url}/{platform}"
    prompt = "Run the command `cat note` and tell me what it printed."
    with elsewhere() as others:
        said = run(agent, tmp_path, base=base, model=f"{platform}-test", prompt=prompt, proxy=others.url)
    assert word in said  # only the command's output can have told it
    assert others.asked == []
    paths = agents_stage.paths()
    assert len(paths) == 2  # the question, and the output of the command
    ends = PATHS[OWN.get((name, platform), SPEAKS[platform])]
    assert [path for path in paths if not path.endswith(ends)] == []
