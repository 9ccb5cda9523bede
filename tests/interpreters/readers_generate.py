"""Answers and streams of generate read by the official SDK, without a socket."""

import importlib
import json
from collections.abc import Iterable
from functools import cache
from typing import Any

from google import genai
from google.genai import _api_client, types

from tests.interpreters.readers import Read, printed
from translators.interpreters.base import Event


class _Canned:
    """A client whose server gives what is in `body`; made once, since making one reads certificates."""

    def __init__(self) -> None:
        self.body = b""
        self.kind = ""
        self._http = importlib.import_module(_api_client.httpx.__name__)
        options = types.HttpOptions(base_url="http://proxy", client_args={"transport": self._http.MockTransport(self._answer)})
        self.client = genai.Client(api_key="sk-test", http_options=options)

    def _answer(self, _: Any) -> Any:
        return self._http.Response(200, headers={"content-type": self.kind}, content=self.body)


@cache
def _canned() -> _Canned:
    return _Canned()


def read_generate_answer(answer: Any) -> Read:
    canned = _canned()
    canned.body, canned.kind = json.dumps(answer).encode(), "application/json"
    return _read([canned.client.models.generate_content(model="m", contents="?")])


def read_generate_stream(events: Iterable[Event]) -> Read:
    """Raises genai.errors.APIError where the stream tells a failure."""
    canned = _canned()
    canned.body, canned.kind = printed(events), "text/event-stream"
    return _read(list(canned.client.models.generate_content_stream(model="m", contents="?")))


def _read(pieces: list[types.GenerateContentResponse]) -> Read:
    """The first candidate; `usage` is prompt, candidates, thoughts and total, `message` the last piece."""
    text, thinking, finish = "", "", None
    tools: list[tuple[str, str, Any]] = []
    usage: types.GenerateContentResponseUsageMetadata | None = None
    for piece in pieces:
        usage = piece.usage_metadata or usage
        for candidate in (piece.candidates or [])[:1]:
            finish = candidate.finish_reason.value if candidate.finish_reason else finish
            for part in (candidate.content and candidate.content.parts) or ():
                if part.function_call:
                    tools.append((part.function_call.id or "", part.function_call.name or "", part.function_call.args))
                elif part.thought:
                    thinking += part.text or ""
                else:
                    text += part.text or ""
    counts = usage and (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count, usage.total_token_count)
    return Read(text, thinking, tools, finish, counts, pieces[-1].model_dump(mode="json", exclude_none=True))
