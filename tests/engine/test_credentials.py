"""Computed credentials on the wire: in the query, as a token, as a signature, as a token that must be asked for."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
from typing import Any

import pytest

from proxy.outcomes import ErrorType
from proxy.upstream.tokens import AccessTokens
from proxy.wire.refusal import Refusal
from tests.engine.handled import asks, head_and_body
from tests.engine.stage import KEY, answer, chunk, get, post, stage, status_of
from tests.harness.runner import async_test, turns
from translators.signing import aws_v4, volc_v4
from translators.signing.google import AccessToken as GivenToken

RULE = """\
platform: signed
title: A platform with a computed credential
docs: https://example.com
upstream: http://signed.example/base
auth: {auth}
models: [s1]
routes:
  POST /v1/chat/completions: carry
  POST /v1/edited:
    send: POST /edited
    edit: [{{set: {{model: "${{model}}"}}}}]
native: carry
"""
QUERY = '{query: {key: "${secret.SIGNED_KEY}"}}'
JWT = '{jwt: {iss: "${secret.SIGNED_KEY}", key: "${secret.SIGNING}", ttl: 30m, header: {typ: JWT}}}'
VOLC = '{volc_v4: {access_key: "${secret.SIGNED_KEY}", secret_key: "${secret.SIGNING}", region: r, service: s}}'
AWS = '{aws_v4: {access_key: "${secret.SIGNED_KEY}", secret_key: "${secret.SIGNING}", region: r, service: s}}'
GOOGLE = '{google: {service_account: "${secret.SIGNED_KEY}", scope: "https://example.com/scope"}}'
SIGNING = "sk-test-signing"


def signed(auth: str, key: str = KEY, **settings: Any) -> Any:
    return stage(rules_of={"signed": RULE.format(auth=auth)}, environ={"SIGNED_KEY": key, "SIGNING": SIGNING}, **settings)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/edited", "/native/x"])
@async_test(loops=False)
async def test_N03_a_credential_of_the_query_replaces_the_clients_own(path: str) -> None:
    async with signed(QUERY, key="k&y") as scene:
        _, upstream = await asks(scene, post(b"{}", f"/signed{path}?a=%2f&key=theirs&b=1"), "signed")
        target = upstream.heard().split(b" ")[1]
        assert target.endswith(b"?a=%2f&b=1&key=k%26y")
        assert scene.counts()["exchanges"] == 1


def read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    head, claims, signature = token.split(".")
    expected = hmac.new(SIGNING.encode(), f"{head}.{claims}".encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64encode(expected).rstrip(b"=").decode() == signature
    header, said = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in (head, claims))
    return header, said


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/edited", "/native/x"])
@async_test(loops=False)
async def test_a_token_is_signed_and_kept_until_shortly_before_its_end(path: str) -> None:
    async with signed(JWT) as scene:
        now = [1_700_000_000.0]
        served = scene.gateway.worker.table.served["signed"]
        served.now = lambda: now[0]
        tokens = []
        client = scene.client()
        upstream = None
        for _ in range(3):
            client.says(post(b'{"model":"s1"}', f"/signed{path}", more=b"Authorization: Bearer theirs\r\n"))
            upstream = upstream or await scene.upstream("signed")
            await turns()
            _, fields, _ = head_and_body(upstream.heard())
            tokens.append(fields["authorization"].removeprefix("Bearer "))
            upstream.says(answer(b"{}"))
            await turns()
            now[0] += 1000
        assert tokens[0] == tokens[1] != tokens[2]
        header, claims = read(tokens[0])
        assert header == {"alg": "HS256", "typ": "JWT"}
        assert claims == {"iss": KEY, "exp": 1_700_001_800, "nbf": 1_699_999_995}
        assert read(tokens[2])[1]["exp"] == 1_700_003_800
        assert scene.calm


def verified(auth: str, start: bytes, fields: dict[str, str], body: bytes, now: float) -> dict[str, str]:
    """The fields that the signature's own room sets for this request."""
    method, target, _ = start.decode().split(" ")
    path, _, query = target.encode().partition(b"?")
    sign = aws_v4.sign if auth is AWS else volc_v4.sign
    names = re.search(r"SignedHeaders=([^,]+)", fields["authorization"])
    assert names is not None
    taking_part = [(name, fields[name]) for name in names[1].split(";")]
    made = sign(
        method, path, query, taking_part, body, access_key=KEY, secret_key=SIGNING, region="r", service="s", now=now
    )  # fmt: skip
    return {name.lower(): value for name, value in made}


@pytest.mark.parametrize("auth", [VOLC, AWS])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/edited", "/native/x"])
@async_test(loops=False)
async def test_a_signature_covers_target_and_body_as_they_go_over_the_wire(auth: str, chunked: bool, path: str) -> None:
    async with signed(auth) as scene:
        scene.gateway.worker.table.served["signed"].now = lambda: 1_700_000_000.0
        body = b'{"model":"s1", "x" : 1.0}'
        more = b"Authorization: x\r\nX-Date: 1\r\nX-Amz-Date: 1\r\nX-Other: o\r\n"
        request = post(body, f"/signed{path}?b=2&a=%7E", more=more)
        if chunked:
            request = request.replace(b"Content-Length: %d\r\n\r\n" % len(body) + body, b"Transfer-Encoding: chunked\r\n\r\n")
            request += chunk(body[:5]) + chunk(body[5:]) + b"0\r\n\r\n"
        client, upstream = await asks(scene, request, "signed")
        start, fields, data = head_and_body(upstream.heard())
        assert start.split(b" ")[1].endswith(b"?b=2&a=%7E")
        assert data == body
        assert fields["content-length"] == str(len(body))
        made = verified(auth, start, fields, data, 1_700_000_000.0)
        assert {name: fields[name] for name in made} == made
        upstream.says(answer(b"{}"))
        assert client.heard() == answer(b"{}")
        assert scene.calm


@async_test(loops=False)
async def test_P01_a_coded_body_of_a_signed_carried_route_is_signed_and_sent_as_it_came() -> None:
    async with signed(VOLC) as scene:
        more = b"Content-Encoding: unheard-of\r\n"
        _, upstream = await asks(scene, post(b"\x00\xff", "/signed/native/x", more=more), "signed")
        _, fields, body = head_and_body(upstream.heard())
        assert body == b"\x00\xff"
        assert fields["content-encoding"] == "unheard-of"
        assert fields["x-content-sha256"] == hashlib.sha256(body).hexdigest()


@async_test(loops=False)
async def test_B10_a_signed_request_without_a_body_has_none() -> None:
    async with signed(AWS) as scene:
        client, upstream = await asks(scene, get("/signed/native/x"), "signed")
        heard = upstream.heard()
        assert b"Content-Length" not in heard
        upstream.says(answer(b"{}"))
        assert client.heard() == answer(b"{}")


ACCOUNT = json.dumps({"client_email": "a@example.com", "token_uri": "https://example.com/token", "private_key": "none"})


class Tokens(AccessTokens):
    """Its endpoint answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(ACCOUNT, "s", clock=lambda: self.now)
        self.now = 0.0
        self.asked = 0
        self.answers: asyncio.Queue[GivenToken | Exception] = asyncio.Queue()

    async def _request(self, now: float) -> GivenToken:
        self.asked += 1
        given = await self.answers.get()
        if isinstance(given, Exception):
            raise given
        return given


@async_test(loops=False)
async def test_a_call_waits_for_the_access_token_and_others_with_it() -> None:
    async with signed(GOOGLE, key=ACCOUNT) as scene:
        served = scene.gateway.worker.table.served["signed"]
        tokens = Tokens()
        served.now = lambda: tokens.now
        served.credential._tokens = served.credential.source = tokens  # type: ignore[union-attr,misc]
        one, two = scene.client(), scene.client()
        one.says(post(b'{"model":"s1"}', "/signed/v1/chat/completions"))
        two.says(post(b'{"model":"s1"}', "/signed/v1/edited"))
        await turns()
        assert scene.dialer("signed").dialed == 0
        tokens.answers.put_nowait(GivenToken("t-1", 3600.0))
        for client in (one, two):
            upstream = await scene.upstream("signed")
            await turns()
            assert b"\r\nAuthorization: Bearer t-1\r\n" in upstream.heard()
            upstream.says(answer(b"{}"))
            assert client.heard() == answer(b"{}")
        assert tokens.asked == 1
        tokens.now = 3400.0  # near its end: it still serves while a new one is asked for
        one.says(post(b'{"model":"s1"}', "/signed/v1/edited"))
        await turns()
        assert b"Bearer t-1" in upstream.heard()
        assert tokens.asked == 2
        assert tokens._asking is not None  # the gateway ends it


@async_test(loops=False)
async def test_I02_without_an_access_token_there_is_a_502_and_the_client_may_leave_before() -> None:
    async with signed(GOOGLE, key=ACCOUNT) as scene:
        served = scene.gateway.worker.table.served["signed"]
        tokens = Tokens()
        served.now = lambda: tokens.now
        served.credential._tokens = served.credential.source = tokens  # type: ignore[union-attr,misc]
        one, two = scene.client(), scene.client()
        for client in (one, two):
            client.says(post(b'{"model":"s1"}', "/signed/v1/edited"))
        await turns()
        two.leaves()
        await turns()
        tokens.answers.put_nowait(OSError("refused"))
        await turns(8)
        assert status_of(one.heard()) == 502
        assert scene.calm


@async_test(loops=False)
async def test_a_token_endpoint_that_fails_is_asked_again_by_the_next_call() -> None:
    tokens = Tokens()
    tokens.answers.put_nowait(OSError("refused"))
    with pytest.raises(Refusal) as refused:
        await tokens.wait()
    assert (refused.value.status, refused.value.error) == (502, ErrorType.HTTP_PROTOCOL_ERROR)
    tokens.answers.put_nowait(GivenToken("t-2", 60.0))
    assert await tokens.wait() == "t-2"
    tokens.now = 60.0
    assert tokens.current(60.0) is None
