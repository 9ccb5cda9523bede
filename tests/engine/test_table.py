"""Routing and plans: where a head leads, what goes upstream, and that remembering plans changes nothing."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.gate import hash_licence
from proxy.routing.table import Plan
from proxy.server import Gateway
from proxy.wire.head import CHUNKED
from proxy.wire.refusal import Refusal
from tests.engine.stage import KEY, stage
from tests.harness.runner import async_test

LICENCE = "lic-test-one"


def head(path: str = "/test/v1/models", *lines: str, method: str = "GET") -> bytes:
    return (f"{method} {path} HTTP/1.1\r\nHost: h\r\n" + "".join(line + "\r\n" for line in lines) + "\r\n").encode("latin-1")


def with_body(path: str, *lines: str, length: object = 10) -> bytes:
    return head(path, *lines, f"Content-Length: {length}", method="POST")


def plan_of(gateway: Gateway, raw: bytes) -> Plan:
    return gateway.worker.plan(raw, "192.0.2.1")[0]


def refused(gateway: Gateway, raw: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        gateway.worker.plan(raw, "192.0.2.1")
    return caught.value


def target(plan: Plan, model: str | None = None) -> str:
    """Platform and request line of what goes upstream."""
    dispatch = plan.dispatch or plan.for_model(model)
    return f"{dispatch.served.platform.name} {dispatch.head.partition(b' HTTP/')[0].decode()}"


@pytest.mark.parametrize(
    ("raw", "expected", "label"),
    [
        (head("/test/v1/models"), "test GET /v1/models", "GET /v1/models"),
        (head("/test/v1/models?a=%7E&b"), "test GET /v1/models?a=%7E&b", "GET /v1/models"),
        (head("/test/any%2Fthing//x?"), "test GET /any%2Fthing//x?", "native"),
        (head("/test/"), "test GET /", "native"),
        (with_body("/other/v1/chat/completions", "ModelName: z1"), "other POST /base/v1/chat/completions",
        "POST /v1/chat/completions"),
        (with_body("/v1/chat/completions", "ModelName: z1"), "other POST /base/v1/chat/completions", "POST /v1/chat/completions"),
        (with_body("/v1/chat/completions", "ModelName: m-any"), "test POST /v1/chat/completions", "POST /v1/chat/completions"),
        (with_body("/v1beta/models/m1:streamGenerateContent"), "test POST /v1beta/models/m1:streamGenerateContent",
        "POST /v1beta/models/{model}:streamGenerateContent"),
        (with_body("/v1beta/models/m-a%2Fb:streamGenerateContent"), "test POST /v1beta/models/m-a%2Fb:streamGenerateContent",
        "POST /v1beta/models/{model}:streamGenerateContent"),
    ],
)  # fmt: skip
@async_test(loops=False)
async def test_C01_C05_C10_a_head_leads_where_prefix_header_or_path_say(raw: bytes, expected: str, label: str) -> None:
    async with stage() as scene:
        plan = plan_of(scene.gateway, raw)
        assert target(plan) == expected
        assert plan.label == label


@async_test(loops=False)
async def test_without_prefix_and_header_the_body_decides() -> None:
    async with stage() as scene:
        plan = plan_of(scene.gateway, with_body("/v1/chat/completions"))
        assert plan.dispatch is None
        assert plan.needs_model
        assert target(plan, "z1") == "other POST /base/v1/chat/completions"
        assert target(plan, "m1") == "test POST /v1/chat/completions"
        for model, status in ((None, 400), ("nobody", 404), ("", 404)):
            with pytest.raises(Refusal) as caught:
                plan.for_model(model)
            assert caught.value.status == status


@async_test(loops=False)
async def test_the_header_wins_over_path_and_body() -> None:
    async with stage() as scene:
        plan = plan_of(scene.gateway, with_body("/v1/chat/completions", "ModelName: z1"))
        assert not plan.needs_model
        assert refused(scene.gateway, with_body("/v1/chat/completions", "ModelName: z1", "modelname: m1")).status == 400
        assert refused(scene.gateway, with_body("/v1/chat/completions", "ModelName: nobody")).status == 404


@pytest.mark.parametrize(
    ("raw", "status", "allow"),
    [
        (head("/nowhere"), 404, None), (head("//test/v1/models"), 404, None), (head("/other/v1/models"), 404, None),
        (head("/%74est/v1/models"), 404, None),
        (head("/other/v1/chat/completions"), 405, "POST"), (head("/v1/chat/completions", method="DELETE"), 405, "POST"),
        (head("/test/v1/x", method="PROPFIND"), 405, "GET"), (head("/TEST/v1/models"), 404, None), (head("/test"), 404, None),
        (with_body("/v1/chat/completions", length=0), 400, None),
    ],
)  # fmt: skip
@async_test(loops=False)
async def test_A08_C06_C11_what_no_rule_serves_is_refused(raw: bytes, status: int, allow: str | None) -> None:
    async with stage() as scene:
        refusal = refused(scene.gateway, raw)
        assert refusal.status == status
        assert (allow in dict(refusal.fields)["Allow"]) if allow else "Allow" not in dict(refusal.fields)


@async_test(loops=False)
async def test_C12_a_request_that_was_here_before_is_a_loop() -> None:
    async with stage() as scene:
        for via in ("1.1 dragoman", "1.0 a, 1.1 dragoman (comment)", "HTTP/1.1  dragoman , 1.1 b"):
            assert refused(scene.gateway, head("/test/v1/models", f"Via: {via}")).status == 508
        for via in ("1.1 dragomans", "1.1 a (dragoman)", "dragoman", "1.1"):
            assert plan_of(scene.gateway, head("/test/v1/models", f"Via: {via}")).dispatch is not None


@async_test(loops=False)
async def test_C09_host_and_credential_are_the_rules_and_never_the_clients() -> None:
    async with stage() as scene:
        raw = head(
            "/test/v1/models?key=theirs&a=1", "Authorization: Bearer theirs", "x-api-key: theirs", "Cookie: theirs", "ModelName: m1"
        )
        dispatch = plan_of(scene.gateway, raw).dispatch
        assert dispatch is not None
        assert b"theirs" not in dispatch.head
        assert b"ModelName" not in dispatch.head
        assert dispatch.head.count(b"\r\nAuthorization: Bearer " + KEY.encode() + b"\r\n") == 1
        assert dispatch.head.startswith(b"GET /v1/models?a=1 HTTP/1.1\r\nHost: up.example\r\n")


@async_test(loops=False)
async def test_D12_max_forwards_is_counted_down_for_options_only() -> None:
    async with stage() as scene:
        assert refused(scene.gateway, head("/test/x", "Max-Forwards: 0", method="OPTIONS")).status == 204
        for method, expected in (("OPTIONS", b"Max-Forwards: 4\r\n"), ("GET", b"Max-Forwards: 5\r\n")):
            dispatch = plan_of(scene.gateway, head("/test/x", "Max-Forwards: 5", method=method)).dispatch
            assert dispatch is not None
            assert expected in dispatch.head


@async_test(loops=False)
async def test_O06_a_model_that_cannot_stand_in_a_header_is_refused() -> None:
    async with stage() as scene:
        plan = plan_of(scene.gateway, with_body("/other/v1/chat/completions"))
        for model in ("a\r\nX: y", "a\nb", "a\x00", "x" * 9000, "\x7f"):
            with pytest.raises(Refusal) as caught:
                plan.for_model(model)
            assert caught.value.status == 400
        assert b"\r\nModelName: \xe6\xa8\xa1\r\n" in plan.for_model("\u6a21").head


@async_test(loops=False)
async def test_N02_a_licence_sent_twice_goes_to_no_platform() -> None:
    rule = (
        "platform: passes\ntitle: t\ndocs: https://example.com\nupstream: http://passes.example\nauth: pass\nnative: carry\n"
    )  # fmt: skip
    async with stage(rules_of={"passes": rule}, open=False, licences=(hash_licence(LICENCE),)) as scene:
        raw = head("/passes/x", f"Authorization: Bearer {LICENCE}", f"x-api-key: {LICENCE}", "x-goog-api-key: theirs")
        dispatch = plan_of(scene.gateway, raw).dispatch
        assert dispatch is not None
        assert b"x-goog-api-key: theirs" in dispatch.head
        assert LICENCE.encode() not in dispatch.head


@async_test(loops=False)
async def test_N02_where_the_rule_passes_credentials_the_licence_stays_and_theirs_goes_on() -> None:
    rule = (
        "platform: passes\ntitle: t\ndocs: https://example.com\nupstream: http://passes.example\nauth: pass\nnative: carry\n"
    )  # fmt: skip
    async with stage(rules_of={"passes": rule}, open=False, licences=(hash_licence(LICENCE),)) as scene:
        for raw, ours in (
            (head("/passes/x", f"Authorization: Bearer {LICENCE}", "x-api-key: theirs"), b"Authorization"),
            (head("/passes/x", f"x-api-key: {LICENCE}", "Authorization: Bearer theirs"), b"x-api-key"),
            (head(f"/passes/x?key={LICENCE}", "x-api-key: theirs"), b"key="),
        ):
            dispatch = plan_of(scene.gateway, raw).dispatch
            assert dispatch is not None
            assert b"theirs" in dispatch.head
            assert ours not in dispatch.head
            assert LICENCE.encode() not in dispatch.head


# -- remembering


def facts(plan: Plan, length: int) -> tuple[Any, ...]:
    """What an exchange takes from a plan, for two models as well."""
    heads = []
    for model in (None, "m1", "z1"):
        try:
            dispatch = plan.dispatch or plan.for_model(model)
            heads.append((dispatch.head, dispatch.served.platform.name, dispatch.model))
        except Refusal as refusal:
            heads.append((refusal.status, refusal.code, refusal.protocol))
    return (
        length, plan.method, plan.label, plan.protocol, plan.keep_alive, plan.http10, plan.needs_model, plan.expect_continue,
            plan.path,
        plan.content_type, plan.compressed, plan.request_id, plan.no_body_line, plan.dispatch is None, heads,
    )  # fmt: skip


def outcome(gateway: Gateway, raw: bytes) -> tuple[Any, ...]:
    try:
        return facts(*gateway.worker.plan(raw, "192.0.2.1"))
    except Refusal as refusal:
        return (refusal.status, refusal.code, refusal.close, refusal.head_only, refusal.protocol)


LENGTHS = st.one_of(
    st.integers(0, 10**6).map(str),
    st.sampled_from(["0", "00", "007", "5", "999999999999999", "1" * 16, "9" * 20, "", "-1", "+5", "5 ", "0x5", "5, 5"]),
)
LINES = st.lists(
    st.sampled_from(
        [
            "Content-Length: {}", "content-length: {}", "Content-length: {}", "Content-Length:{}", "CONTENT-LENGTH: {}",
                "X-A: {}", "Transfer-Encoding: chunked",
            "Content-Type: application/json", "Connection: close", "Expect: 100-continue", "ModelName: m1", "ModelName: z1",
                "X: Content-Length: {}",
            "Authorization: Bearer {}", "Content-Encoding: gzip", "x-request-id: id-{}", "Host: h", "Content_Length: {}",
        ]
    ),
    max_size=5,
)  # fmt: skip
STARTS = st.sampled_from(
    ["POST /test/v1/chat/completions", "POST /v1/chat/completions", "GET /test/v1/models", "HEAD /test/v1/models",
    "POST /nowhere", "PUT /test/x?key=s", "POST /other/v1/chat/completions"]
)  # fmt: skip


@given(STARTS, LINES, st.lists(LENGTHS, min_size=1, max_size=4), st.sampled_from(["HTTP/1.1", "HTTP/1.0"]))
def test_planning_with_the_memory_is_planning_without_it(start: str, lines: list[str], lengths: list[str], version: str) -> None:
    async def main() -> None:
        async with stage() as scene:
            gateway = scene.gateway
            heads = [
                f"{start} {version}\r\nHost: h\r\n{''.join(line.format(length) + chr(13) + chr(10) for line in lines)}\r\n".encode()
                for length in lengths
            ]
            remembered = [outcome(gateway, raw) for raw in heads * 2]
            fresh = []
            for raw in heads * 2:
                gateway.worker.table._memo.clear()
                fresh.append(outcome(gateway, raw))
            assert remembered == fresh

    asyncio.run(main())


@async_test(loops=False)
async def test_heads_that_differ_in_their_length_only_share_a_plan_and_others_do_not() -> None:
    async with stage() as scene:
        gateway = scene.gateway
        first = plan_of(gateway, with_body("/test/v1/chat/completions", length=10))
        assert gateway.worker.plan(with_body("/test/v1/chat/completions", length=4711), "peer") == (first, 4711)
        assert plan_of(gateway, with_body("/test/v1/chat/completions", "X: y", length=10)) is not first
        chunked = head("/test/v1/chat/completions", "Transfer-Encoding: chunked", method="POST")
        assert gateway.worker.plan(chunked, "peer")[1] == gateway.worker.plan(chunked, "peer")[1] == CHUNKED


@async_test(loops=False)
async def test_the_memory_is_bounded_in_heads_and_in_their_size() -> None:
    async with stage() as scene:
        table = scene.gateway.worker.table
        for number in range(1500):
            plan_of(scene.gateway, head("/test/v1/models", f"X: {number}"))
        assert len(table._memo) == 1024
        assert table.recall(head("/test/v1/models", "X: 0")) is None
        assert table.recall(head("/test/v1/models", "X: 1499")) is not None
        big = head("/test/v1/models", "X: " + "y" * 9000)
        plan_of(scene.gateway, big)
        assert table.recall(big) is None
        plan = plan_of(scene.gateway, with_body("/other/v1/chat/completions"))
        for number in range(1000):
            plan.for_model(f"z-{number}")
        assert len(plan._by_model) <= 256


@async_test(loops=False)
async def test_N06_a_refusal_is_never_remembered() -> None:
    async with stage(open=False, licences=(hash_licence(LICENCE),)) as scene:
        raw = head("/test/v1/models", "x-api-key: wrong")
        statuses = [refused(scene.gateway, raw).status for _ in range(25)]
        assert statuses == [403] * 20 + [429] * 5
        assert scene.gateway.worker.table._memo == {}
        assert plan_of(scene.gateway, head("/test/v1/models", f"x-api-key: {LICENCE}")).dispatch is not None
