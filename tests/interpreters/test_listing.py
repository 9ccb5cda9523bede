"""Lists of models from every protocol to every other: what is known passes, what is not known is left out."""

from typing import Any

import pytest

from translators.interpreters import listing
from translators.interpreters.base import BadAnswerError
from translators.model import Protocol

CHAT = {"object": "list", "data": [{"id": "a", "object": "model", "created": 1769904000, "owned_by": "o"}]}
MESSAGES = {
    "data": [{"type": "model", "id": "a", "display_name": "A", "created_at": "2026-02-01T00:00:00Z", "max_input_tokens": 5,
        "max_tokens": 2}], "has_more": False, "first_id": "a", "last_id": "a"}  # fmt: skip
GENERATE = {"models": [{"name": "models/a", "displayName": "A", "inputTokenLimit": 5, "outputTokenLimit": 2, "version": "1"}]}


@pytest.mark.parametrize(
    ("platform", "client", "said", "expected"),
    [
        (Protocol.MESSAGES, Protocol.CHAT, MESSAGES, {"object": "list", "data": [
            {"id": "a", "object": "model", "created": 1769904000}]}),
        (Protocol.MESSAGES, Protocol.GENERATE, MESSAGES, {"models": [
            {"name": "models/a", "displayName": "A", "inputTokenLimit": 5, "outputTokenLimit": 2}]}),
        (Protocol.CHAT, Protocol.MESSAGES, CHAT, {"data": [{"type": "model", "id": "a", "display_name": "a",
            "created_at": "2026-02-01T00:00:00Z"}], "has_more": False, "first_id": "a", "last_id": "a"}),
        (Protocol.CHAT, Protocol.GENERATE, CHAT, {"models": [{"name": "models/a"}]}),
        (Protocol.GENERATE, Protocol.CHAT, GENERATE, {"object": "list", "data": [{"id": "a", "object": "model"}]}),
        (Protocol.GENERATE, Protocol.MESSAGES, GENERATE, {"data": [{"type": "model", "id": "a", "display_name": "A",
            "max_input_tokens": 5, "max_tokens": 2}], "has_more": False, "first_id": "a", "last_id": "a"}),
        (Protocol.GENERATE, Protocol.CHAT, {"name": "models/a"}, {"id": "a", "object": "model"}),
        (Protocol.MESSAGES, Protocol.GENERATE, {"type": "model", "id": "a"}, {"name": "models/a"}),
        (Protocol.CHAT, Protocol.MESSAGES, {"data": []}, {"data": [], "has_more": False, "first_id": None, "last_id": None}),
        (Protocol.GENERATE, Protocol.MESSAGES, {"models": [], "nextPageToken": "t"},
            {"data": [], "has_more": True, "first_id": None, "last_id": None}),
    ],
)  # fmt: skip
def test_a_list_is_said_anew(platform: Protocol, client: Protocol, said: Any, expected: Any) -> None:
    assert listing.said_anew(platform, client, said) == expected


@pytest.mark.parametrize("said", [None, [], 7, "x", {"data": 7}, {"data": [7]}, {"data": [{"id": 7}]}, {}, {"data": [None]}])
@pytest.mark.parametrize("platform", [Protocol.CHAT, Protocol.MESSAGES, Protocol.GENERATE])
def test_what_is_no_list_is_a_bad_answer(platform: Protocol, said: Any) -> None:
    with pytest.raises(BadAnswerError):
        listing.said_anew(platform, Protocol.RESPONSES, said)


@pytest.mark.parametrize("created", ["yesterday", 7, None, "2026-02-01T00:00:00Zx", ["a"]])
def test_a_time_that_is_none_is_left_out(created: Any) -> None:
    said = listing.said_anew(Protocol.MESSAGES, Protocol.CHAT, {"id": "a", "created_at": created})
    assert said == {"id": "a", "object": "model"}


@pytest.mark.parametrize(
    ("path", "headers", "query", "client"),
    [
        ("/v1/models", {"authorization"}, set(), Protocol.CHAT),
        ("/v1/models", {"anthropic-version"}, set(), Protocol.MESSAGES),
        ("/v1/models", {"x-api-key"}, set(), Protocol.MESSAGES),
        ("/v1/models", {"x-goog-api-key"}, set(), Protocol.GENERATE),
        ("/v1/models", {"x-goog-api-client"}, set(), Protocol.GENERATE),
        ("/v1/models", set(), {"key"}, Protocol.GENERATE),
        ("/v1beta/models/a", {"anthropic-version"}, set(), Protocol.GENERATE),
    ],
)
def test_a_client_is_known_by_what_it_sends(path: str, headers: set[str], query: set[str], client: Protocol) -> None:
    assert listing.client_of(path, headers, query) is client
