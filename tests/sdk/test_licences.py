"""Client licences: an SDK gives its licence where it gives a provider's key; a wrong one stops at the gateway."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import anthropic
import openai
import pytest
from google.genai import errors

from proxy.routing.gate import hash_licence
from tests.sdk.clients import CLAUDE, GEMINI, GPT, make_anthropic, make_genai, make_openai, say
from tests.sdk.host import Host, command, running

LICENCE = "dm-test-licence"
OTHER = "dm-test-another-licence"
WRONG = "dm-test-wrong-licence"


class Sdk(NamedTuple):
    """How one SDK asks a question at a base URL with a key, and its error for a status 403."""

    ask: Callable[[str, str], str]
    refused: type[Exception]
    prefix: str


def ask_openai(base: str, key: str) -> str:
    with make_openai(base + "/v1", key=key) as client:
        return client.chat.completions.create(model=GPT, messages=say("Hello")).choices[0].message.content or ""


def ask_anthropic(base: str, key: str) -> str:
    with make_anthropic(base, key=key) as client:
        return str(client.messages.create(model=CLAUDE, max_tokens=300, messages=say("Hello")).content[0].text)


def ask_genai(base: str, key: str) -> str:
    client = make_genai(base, key=key)
    try:
        return client.models.generate_content(model=GEMINI, contents="Hello").text or ""
    finally:
        client.close()


SDKS = {
    "openai": Sdk(ask_openai, openai.PermissionDeniedError, "/openai"),
    "anthropic": Sdk(ask_anthropic, anthropic.PermissionDeniedError, "/anthropic"),
    "google-genai": Sdk(ask_genai, errors.ClientError, "/gemini"),
}


@pytest.fixture(params=SDKS)
def sdk(request: pytest.FixtureRequest) -> Sdk:
    return SDKS[request.param]


@pytest.fixture
def guarded() -> Iterator[Host]:
    """A gateway that knows two licences, with a recorder behind it."""
    with running(record=True, licences=(hash_licence(LICENCE), hash_licence(OTHER))) as host:
        yield host


@pytest.mark.parametrize("licence", [LICENCE, OTHER])
def test_N02_a_licence_lets_in_and_goes_to_nobody_else(sdk: Sdk, guarded: Host, licence: str) -> None:
    for prefix in (sdk.prefix, ""):
        assert '"Hello"' in sdk.ask(guarded.url + prefix, licence)
    assert licence.encode() not in guarded.recorded.heard()
    assert guarded.recorded.heard().count(b"POST ") == 2


def test_N06_a_wrong_licence_is_refused_and_nothing_goes_upstream(sdk: Sdk, guarded: Host) -> None:
    for prefix in (sdk.prefix, ""):
        with pytest.raises(sdk.refused, match=r"This licence is not known here\.") as caught:
            sdk.ask(guarded.url + prefix, WRONG)
        status = getattr(caught.value, "status_code", None) or getattr(caught.value, "code", None)
        assert status == 403
        assert WRONG not in str(caught.value)
    assert guarded.recorded.connections == []


def test_I_table_no_licence_at_all_is_an_authentication_error(guarded: Host) -> None:
    with make_openai(guarded.url + "/openai/v1") as client, pytest.raises(openai.AuthenticationError) as caught:
        client.models.with_raw_response.list(extra_headers={"Authorization": openai.Omit()})  # type: ignore[dict-item]
    assert caught.value.response.headers["www-authenticate"].startswith("Bearer")
    assert guarded.recorded.connections == []


def test_licences_of_a_configuration_file_let_the_sdks_in(tmp_path: Path) -> None:
    with command(tmp_path, config={"licences": [hash_licence(LICENCE)]}) as base:
        for sdk in SDKS.values():
            assert '"Hello"' in sdk.ask(base + sdk.prefix, LICENCE)
            with pytest.raises(sdk.refused, match="This licence is not known here"):
                sdk.ask(base + sdk.prefix, WRONG)
