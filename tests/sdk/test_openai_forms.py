"""Forms of the official `openai` client on a route whose rule changes some of their fields: they pass part by part (rule P07)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sdk.capture import Heard, capturing
from tests.sdk.clients import make_openai
from tests.sdk.host import running
from tests.sdk.relay import Relay

RULE = """\
platform: renamed
title: A platform that knows the fields of forms by other names
docs: https://example.com
upstream: https://renamed.example
auth: {bearer: "${secret.RENAMED_API_KEY}"}
models: [{public: private}]
routes:
  POST /v1/audio/transcriptions:
    send: POST /listen
    edit:
      - set: {model: "${model}"}
      - rename: {language: lang}
      - default: {punctuation: true}
  POST /v1/images/edits:
    edit:
      - set: {model: "${model}"}
      - remove: [user]
"""
SOUND = bytes(range(256)) * 4096 + b"\r\n--"


@pytest.fixture(scope="module")
def renamed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A gateway with that rule, and a capture server as its upstream."""
    rules: Path = tmp_path_factory.mktemp("rules")
    (rules / "renamed.yaml").write_text(RULE)
    with (
        capturing() as capture,
        running(
            sandbox=False,
            shipped_rules=False,
            rules=(rules,),
            upstreams={"renamed": capture.url},
            environ={"RENAMED_API_KEY": "sk-test-upstream"},
        ) as host,
    ):
        yield Relay(capture, host)


def fields(heard: Heard) -> dict[str, bytes]:
    """The text parts by name; each must be there once."""
    parts = [(name, data) for name, filename, _, data in heard.parts if filename is None]
    assert len(dict(parts)) == len(parts)
    return dict(parts)


@pytest.mark.parametrize("prefix", ["/renamed", ""])
def test_P07_a_recording_passes_with_its_fields_renamed(renamed: Relay, prefix: str) -> None:
    renamed.capture.answers({"text": "hello"})
    with make_openai(renamed.url + prefix + "/v1") as client:
        said = client.audio.transcriptions.create(model="public", file=("a.wav", SOUND, "audio/wav"), language="en")
    assert said.text == "hello"
    heard = renamed.capture.only()
    assert heard.path == "/listen"
    assert fields(heard) == {"model": b"private", "lang": b"en", "punctuation": b"true"}
    assert ("file", "a.wav", "audio/wav", SOUND) in heard.parts
    assert heard.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in heard.headers


def test_P07_pictures_pass_in_their_order(renamed: Relay) -> None:
    renamed.capture.answers({"created": 1, "data": [{"b64_json": "iVBORw0KGgo="}]})
    pictures = [("a.png", SOUND, "image/png"), ("b.jpg", b"\xff\xd8\xff\xe0", "image/jpeg")]
    with make_openai(renamed.url + "/renamed/v1") as client:
        client.images.edit(model="public", prompt="Grüße", image=pictures, mask=("m.png", SOUND, "image/png"), user="u")
    heard = renamed.capture.only()
    assert fields(heard) == {"model": b"private", "prompt": "Grüße".encode()}
    files = [(filename, kind, data) for _, filename, kind, data in heard.parts if filename is not None]
    assert files == [*((name, kind, data) for name, data, kind in pictures), ("m.png", "image/png", SOUND)]
