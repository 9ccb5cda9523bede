"""Battery H: field lines going up and coming down."""

import re

import pytest

from tests.harness.chaos import OK, Peer, Say, answer, chunk, closed_port, play, says
from tests.harness.client import Answer
from tests.harness.gateway import SECRET, rule_file, stage
from tests.harness.runner import async_test
from tests.harness.words import CHAT, get, post, stream

HOP_BY_HOP = [
    b"Connection: close, x-nominated",
    b"X-Nominated: 1",
    b"Proxy-Connection: keep-alive",
    b"Keep-Alive: timeout=5",
    b"TE: trailers",
    b"Trailer: X-Sum",
    b"Upgrade: h2c",
    b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    b"Proxy-Authorization: Basic eA==",
    b"Proxy-Authenticate: Basic",
]


@async_test()
async def test_D01_D02_case24_nominated_fields_go_and_framing_host_and_the_rules_own_stay() -> None:
    async with stage(Peer(says(OK))) as scene:
        request = post(
            b"{}", b"Connection: close, x-a, host, authorization, content-length, modelname, content-type", b"X-A: 1", b"X-B: 2"
        )
        assert (await scene.asks(request)).status == 200
        heard = await scene.peer.hears()
        assert heard.all(b"x-a") == []
        assert heard.get(b"x-b") == b"2"
        assert heard.get(b"host") == b"127.0.0.1:%d" % scene.peer.port
        assert heard.get(b"authorization") == f"Bearer {SECRET}".encode()
        assert heard.get(b"modelname") == b"m1"
        assert heard.get(b"content-length") == b"2"


@async_test()
async def test_D01_H04_every_hop_by_hop_field_is_removed() -> None:
    async with stage(Peer(says(OK))) as scene:
        assert (await scene.asks(get(b"/test/v1/models", *HOP_BY_HOP))).status == 200
        heard = await scene.peer.hears()
        removed = {line.partition(b":")[0].lower() for line in HOP_BY_HOP} - {b"connection"}
        assert removed.isdisjoint(heard.head.names())
        assert heard.all(b"connection") in ([], [b"keep-alive"])


CREDENTIALS = [
    b"Authorization: Bearer sk-test-marker",
    b"Proxy-Authorization: Basic sk-test-marker",
    b"Cookie: session=sk-test-marker",
    b"x-api-key: sk-test-marker",
    b"api-key: sk-test-marker",
    b"X-Goog-Api-Key: sk-test-marker",
    b"ModelName: m1",
    b"X_Api_Key: sk-test-marker",
    b"api_key: sk-test-marker",
    b"x_goog_api_key: sk-test-marker",
    b"Proxy_Authorization: sk-test-marker",
    b"X-Own-Token: sk-test-marker",
]


@async_test()
async def test_D03_D10_case25_no_client_credential_reaches_the_peer_and_the_rules_key_once() -> None:
    rule = rule_file("{url}").replace(
        'auth: {bearer: "${secret.TEST_KEY}"}', 'auth: {bearer: "${secret.TEST_KEY}", client_headers: [X-Own-Token]}'
    )
    async with Peer(says(OK)) as peer, stage(peer, rules={"test": rule.replace("{url}", peer.url)}) as scene:
        assert (await scene.asks(get(CHAT.replace(b"/chat/completions", b"/models"), *CREDENTIALS))).status == 200
        heard = await peer.hears()
        assert b"marker" not in heard.head.raw
        assert heard.all(b"authorization") == [f"Bearer {SECRET}".encode()]
        assert heard.all(b"modelname") == [b"m1"]
        gone = {line.partition(b":")[0].lower() for line in CREDENTIALS} - {b"authorization", b"modelname"}
        assert gone.isdisjoint(heard.head.names())


NETWORK = [
    b"Forwarded: for=192.0.2.1",
    b"X-Forwarded-For: 192.0.2.1",
    b"X-Forwarded-Host: h",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Anything: x",
    b"X-Real-IP: 192.0.2.1",
    b"True-Client-IP: 192.0.2.1",
    b"CF-Connecting-IP: 192.0.2.1",
    b"X-Client-IP: 192.0.2.1",
    b"X-Original-URL: /admin",
    b"X-Rewrite-URL: /admin",
    b"X_Forwarded_For: 192.0.2.1",
    b"x_real_ip: 192.0.2.1",
]


@async_test()
async def test_D04_D10_case26_network_identity_does_not_leak() -> None:
    async with stage(Peer(says(OK))) as scene:
        assert (await scene.asks(get(b"/test/v1/models", *NETWORK))).status == 200
        heard = await scene.peer.hears()
        assert {line.partition(b":")[0].lower() for line in NETWORK}.isdisjoint(heard.head.names())
        assert b"192.0.2.1" not in heard.head.raw


@async_test()
async def test_D05_via_is_appended_and_can_be_turned_off() -> None:
    async with stage(Peer(says(OK))) as scene:
        await scene.asks(get(b"/test/v1/models", b"Via: 1.0 first"))
        heard = await scene.peer.hears()
        assert b", ".join(heard.all(b"via")) == b"1.0 first, 1.1 dragoman"
    async with stage(Peer(says(OK)), via="") as scene:
        await scene.asks(get())
        assert (await scene.peer.hears()).all(b"via") == []


@async_test()
async def test_D06_D07_case27_nothing_is_invented_on_the_way_up() -> None:
    async with stage(Peer(says(OK))) as scene:
        await scene.asks(b"GET /test/v1/models HTTP/1.1\r\nHost: gateway\r\n\r\n")
        heard = await scene.peer.hears()
        assert heard.get(b"accept-encoding") == b"identity"
        assert set(heard.head.names()) <= {b"host", b"authorization", b"accept-encoding", b"via", b"x-request-id", b"connection"}
        await scene.asks(get(b"/test/v1/models", b"Accept-Encoding: br;q=0.5, gzip"))
        assert (await scene.peer.hears()).all(b"accept-encoding") == [b"br;q=0.5, gzip"]


@async_test()
async def test_E04_D08_case28_repeated_lines_keep_number_and_order() -> None:
    lines = (b"Set-Cookie: a=1; Path=/", b"Link: <a>; rel=x", b"Set-Cookie: b=2", b"Link: <b>; rel=y")
    for policy, cookies in (("set_cookie: true\n", [b"a=1; Path=/", b"b=2"]), ("", [])):
        async with stage(Peer(says(answer(b"200 OK", b"", *lines))), extra=policy) as scene:
            reply = await scene.asks(get(b"/test/v1/models", b"X-Two: 1", b"X-Two: 2", b"x-two: 1, 3"))
            assert reply.all(b"link") == [b"<a>; rel=x", b"<b>; rel=y"]
            assert reply.all(b"set-cookie") == cookies
            assert (await scene.peer.hears()).all(b"x-two") == [b"1", b"2", b"1, 3"]


@async_test()
async def test_E02_case29_nothing_is_invented_on_the_way_down() -> None:
    async with stage(Peer(says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))) as scene:
        reply = await scene.asks(get())
        assert set(reply.head.names()) == {b"content-length", b"date", b"x-request-id"}
    dated = answer(b"200 OK", b"hi", b"Date: Sun, 06 Nov 1994 08:49:37 GMT", b"Server: theirs")
    async with stage(Peer(says(dated))) as scene:
        reply = await scene.asks(get())
        assert (reply.all(b"date"), reply.all(b"server")) == ([b"Sun, 06 Nov 1994 08:49:37 GMT"], [b"theirs"])


@async_test()
async def test_E03_case30_answers_without_a_body_leave_the_connection_in_step() -> None:
    cases = [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n", b"42"),
        (b"GET", b'HTTP/1.1 304 Not Modified\r\nContent-Length: 42\r\nETag: "x"\r\n\r\n', b"42"),
        (b"GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", None),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
    ]
    for method, raw, length in cases:
        async with stage() as scene:
            client = await scene.client()
            await client.says(get(b"/test/file", method=method))
            first = await scene.peer.hears()
            await first.say(raw)
            reply = await client.hears(to=method)
            assert (reply.body, reply.get(b"content-length")) == (b"", length)
            await client.says(get())
            second = await scene.peer.hears()
            await second.say(OK)
            assert (await client.hears()).body == b'{"ok":true}'
            assert second.line is first.line, "the upstream connection was not reused"


@async_test()
async def test_E03_a_body_that_must_not_be_there_reaches_nobody() -> None:
    for method, status in (
        (b"HEAD", b"200 OK"),
        (b"GET", b"204 No Content"),
        (b"GET", b"304 Not Modified"),
        (b"GET", b"205 Reset Content"),
    ):
        async with stage() as scene:
            client = await scene.client()
            await client.says(get(b"/test/file", method=method))
            await (await scene.peer.hears()).say(b"HTTP/1.1 " + status + b"\r\nContent-Length: 4\r\n\r\nbody")
            reply = await client.hears(to=method)
            if status.startswith(b"205") and reply.status == 502:
                continue  # a 205 with a body has broken framing: refusing it is as good
            assert (reply.status, reply.body) == (int(status[:3]), b"")
            await client.says(get())
            await (await scene.peer.hears()).say(OK)
            assert (await client.hears()).body == b'{"ok":true}'


@async_test()
async def test_D09_case31_bytes_outside_ascii_are_kept_or_refused_but_never_shortened() -> None:
    for value in (b"caf\xe9", "café".encode(), b"\xff\xfe", b"\xa0x\xa0"):
        async with stage(Peer(says(OK))) as scene:
            reply = await scene.asks(get(b"/test/v1/models", b"X-A: " + value))
            assert reply.status in (200, 400)
            assert [heard.get(b"x-a") for heard in scene.peer.requests] == ([value] if reply.status == 200 else [])
        async with stage(Peer(says(answer(b"200 OK", b"", b"X-A: " + value)))) as scene:
            reply = await scene.asks(get())
            assert (reply.status, reply.get(b"x-a")) in ((200, value), (502, None))


@async_test()
async def test_D10_case32_underscore_twins_of_framing_are_removed_and_others_carried() -> None:
    async with stage(Peer(says(OK))) as scene:
        twins = (b"content_length: 5", b"transfer_encoding: chunked", b"x_forwarded_for: 192.0.2.1", b"Proxy_Connection: x")
        assert (await scene.asks(post(b"{}", *twins, b"x_mine: 1"))).status == 200
        heard = await scene.peer.hears()
        assert {line.partition(b":")[0].lower() for line in twins}.isdisjoint(heard.head.names())
        assert (heard.get(b"x_mine"), heard.body) == (b"1", b"{}")


EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"


@async_test()
async def test_H01_case33_early_hints_are_relayed_where_enabled_and_dropped_elsewhere() -> None:
    for extra, expected in (("early_hints: true\n", [103]), ("", [])):
        async with stage(Peer(says(EARLY + OK)), extra=extra) as scene:
            reply = await scene.asks(get())
            assert ([status for status, _ in reply.interim], reply.status, reply.body) == (expected, 200, b'{"ok":true}')
            for _, head in reply.interim:
                assert head.get(b"link") == b"</style.css>; rel=preload"


@async_test()
async def test_H01_case33_sixteen_interim_answers_are_borne_and_seventeen_are_a_502() -> None:
    for count, status in ((16, 200), (17, 502)):
        async with stage(Peer(says(EARLY * count + OK))) as scene:
            assert (await scene.asks(get())).status == status


@async_test()
async def test_H01_an_upstream_100_is_consumed_and_only_interim_answers_are_a_502() -> None:
    async with stage(Peer(says(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)), extra="early_hints: true\n") as scene:
        reply = await scene.asks(post())
        assert (reply.status, reply.interim) == (200, [])
    async with stage() as scene:
        client = await scene.client()
        await client.says(post())
        heard = await scene.peer.hears()
        await heard.say(b"HTTP/1.1 102 Processing\r\n\r\n")
        heard.line.fin()
        assert (await client.hears()).status == 502


RFC9209_ERRORS = {
    "dns_timeout", "dns_error", "destination_not_found", "destination_unavailable", "destination_ip_prohibited",
    "destination_ip_unroutable", "connection_refused", "connection_terminated", "connection_timeout", "connection_read_timeout",
    "connection_write_timeout", "connection_limit_reached", "tls_protocol_error", "tls_certificate_error", "tls_alert_received",
    "http_request_error", "http_request_denied", "http_response_incomplete", "http_response_header_section_size",
    "http_response_header_size", "http_response_body_size", "http_response_trailer_section_size", "http_response_trailer_size",
    "http_response_transfer_coding", "http_response_content_coding", "http_response_timeout", "http_upgrade_failed",
    "http_protocol_error", "proxy_internal_response", "proxy_internal_error", "proxy_configuration_error", "proxy_loop_detected",
}  # fmt: skip


async def local_answers() -> list[Answer]:
    """One local answer of each kind that needs no special stage."""
    async with stage(Peer(play(Say(b"junk\r\n\r\n"))), limits={"body": 100}) as scene:
        replies = [
            await scene.asks(get(b"/nowhere")),
            await scene.asks(get(b"/v1/chat/completions", b"ModelName: m1")),
            await scene.asks(get(b"/test/..")),
            await scene.asks(get()),
            await scene.asks(post(b"x" * 101)),
            await scene.asks(post(b"{}", b"Expect: magic")),
            await scene.asks(get(b"/test/v1/models", b"Via: 1.1 dragoman")),
        ]
    async with stage(timeouts={"t_header": 0.2}) as scene:
        replies.append(await scene.asks(b"GET /test/v1/models HTTP/1.1\r\n"))
    down = f"http://127.0.0.1:{closed_port()}"
    async with stage(rules={"test": rule_file(down)}) as scene:
        replies += [await scene.asks(post(path=path)) for path in (CHAT, b"/test/v1/messages", b"/test/v1/responses")]
    async with stage(open=False, licences=("sha256:" + "0" * 64,)) as scene:
        replies += [await scene.asks(get()), await scene.asks(get(b"/test/v1/models", b"Authorization: Bearer sk-test-wrong"))]
    return replies


@async_test()
async def test_E10_I01_case34_every_local_answer_says_so_with_a_registered_error_type() -> None:
    replies = await local_answers()
    assert {reply.status for reply in replies} >= {400, 401, 403, 404, 405, 408, 413, 417, 502, 508}
    for reply in replies:
        status = reply.get(b"proxy-status")
        assert status is not None
        assert status.startswith(b"dragoman; error=")
        assert reply.error in RFC9209_ERRORS
        assert reply.get(b"content-type") == b"application/json"
        assert reply.get(b"content-length") == b"%d" % len(reply.body)
        assert reply.get(b"date")


@async_test()
async def test_I01_case34_httplint_finds_no_error_in_a_local_answer() -> None:
    httplint = pytest.importorskip("httplint", reason="httplint is not installed")
    for reply in await local_answers():
        linter = httplint.HttpResponseLinter()
        linter.process_response_topline(b"HTTP/1.1", b"%d" % reply.status, reply.reason)
        linter.process_headers(reply.fields)
        linter.feed_content(reply.body)
        linter.finish_content(True)
        bad = [f"{note.summary} ({note.subject})" for note in linter.notes if note.level is httplint.levels.BAD]
        assert bad == [], reply.head.raw


@async_test()
async def test_D11_D13_tracing_vendor_and_conditional_fields_pass() -> None:
    lines = [
        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        b"tracestate: a=b",
        b"Idempotency-Key: k",
        b"OpenAI-Organization: o",
        b"anthropic-version: 2023-06-01",
        b"x-stainless-lang: python",
        b"Range: bytes=0-1",
        b'If-None-Match: "x"',
        b"If-Range: x",
        b"Cache-Control: no-cache",
        b"User-Agent: mine/1",
        b"Accept: */*",
    ]
    async with stage(Peer(says(OK))) as scene:
        await scene.asks(get(b"/test/v1/models", *lines))
        heard = await scene.peer.hears()
        assert [line for line in lines if line not in heard.head.raw.split(b"\r\n")] == []


@async_test()
async def test_D12_max_forwards_of_options_is_counted_down_and_answered_here_at_zero() -> None:
    async with stage(Peer(says(answer()))) as scene:
        assert (await scene.asks(get(b"/test/native", b"Max-Forwards: 5", method=b"OPTIONS"))).status == 200
        assert (await scene.peer.hears()).get(b"max-forwards") == b"4"
        assert (await scene.asks(get(b"/test/native", b"Max-Forwards: 0", method=b"OPTIONS"))).status in (200, 204)
        await scene.asks(get(b"/test/native", b"Max-Forwards: 5"))
        assert (await scene.peer.hears()).get(b"max-forwards") == b"5"
        assert len(scene.peer.requests) == 2


@async_test()
async def test_E01_hop_by_hop_fields_of_the_answer_are_removed() -> None:
    lines = (
        b"Connection: x-own",
        b"X-Own: 1",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: x",
        b"Proxy-Authenticate: Basic",
        b"Upgrade: h2c",
        b"X-Kept: 1",
    )
    async with stage(Peer(says(answer(b"200 OK", b"{}", *lines)))) as scene:
        reply = await scene.asks(get())
        assert reply.get(b"x-kept") == b"1"
        assert {b"x-own", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"upgrade", b"connection"}.isdisjoint(
            reply.head.names()
        )
        assert reply.body == b"{}"


@async_test()
async def test_E05_E06_validators_digests_and_locations_of_a_carried_answer_are_untouched() -> None:
    lines = (
        b'ETag: "strong"',
        b"Content-MD5: x",
        b"Digest: sha-256=x",
        b"Accept-Ranges: bytes",
        b"Content-Encoding: gzip",
        b"Location: https://elsewhere.example/x",
        b"Content-Location: /y",
        b"Retry-After: 7",
        b"x-ratelimit-remaining-requests: 3",
        b"request-id: req_1",
    )
    async with stage(Peer(says(answer(b"201 Created", b"not really gzip", *lines)))) as scene:
        reply = await scene.asks(get())
        assert [line for line in lines if line not in reply.head.raw.split(b"\r\n")] == []
        assert reply.body == b"not really gzip"


@async_test()
async def test_E07_an_event_stream_gets_its_two_fields_and_never_a_length() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
    for cache, expected in ((b"", b"no-cache"), (b"Cache-Control: private\r\n", b"private")):
        async with stage(Peer(says(head + cache + b"\r\n" + chunk(b"data: x\n\n") + chunk(b"")))) as scene:
            reply = await scene.asks(stream())
            assert reply.get(b"content-type") == b"text/event-stream; charset=utf-8"
            assert (reply.get(b"cache-control"), reply.get(b"x-accel-buffering")) == (expected, b"no")
            assert reply.all(b"content-length") + reply.all(b"content-encoding") == []
            assert reply.body == b"data: x\n\n"


@async_test()
async def test_E08_fields_that_speak_for_another_origin_are_removed() -> None:
    lines = (b'Alt-Svc: h3=":443"', b"Strict-Transport-Security: max-age=1", b"Public-Key-Pins: x", b"NEL: {}", b"Report-To: {}")
    async with stage(Peer(says(answer(b"200 OK", b"{}", *lines)))) as scene:
        reply = await scene.asks(get())
        assert {line.partition(b":")[0].lower() for line in lines}.isdisjoint(reply.head.names())


@async_test()
async def test_E09_the_request_id_is_made_or_a_valid_one_echoed() -> None:
    async with stage(Peer(says(OK))) as scene:
        made = {(await scene.asks(get())).get(b"x-request-id") for _ in range(3)}
        assert len(made) == 3
        for identity in made:
            assert identity
            assert re.fullmatch(rb"[A-Za-z0-9._-]{8,128}", identity)
        assert (await scene.asks(get(b"/test/v1/models", b"X-Request-Id: My_id.1-2"))).get(b"x-request-id") == b"My_id.1-2"
        for bad in (b"x" * 129, b"a b", b"<x>", b"a,b"):
            assert (await scene.asks(get(b"/test/v1/models", b"X-Request-Id: " + bad))).get(b"x-request-id") != bad
        local = await scene.asks(get(b"/nowhere", b"X-Request-Id: mine"))
        assert local.get(b"x-request-id") == b"mine"


@async_test()
async def test_E09_the_providers_own_request_id_passes_through() -> None:
    async with stage(Peer(says(answer(b"200 OK", b"{}", b"x-request-id: req_theirs", b"request-id: req_other")))) as scene:
        reply = await scene.asks(get())
        assert b"req_theirs" in reply.all(b"x-request-id")
        assert reply.get(b"request-id") == b"req_other"


@async_test()
async def test_E11_answer_trailers_are_dropped_and_never_merged() -> None:
    raw = (
        b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk(b"a")
        + b"0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\n\r\n"
    )
    async with stage(Peer(says(raw))) as scene:
        client = await scene.client()
        for _ in range(2):
            await client.says(get(b"/test/v1/models", b"TE: trailers"))
            reply = await client.hears()
            assert (reply.body, reply.complete, reply.stream.trailers) == (b"a", True, [])
            assert reply.all(b"x-sum") + reply.all(b"trailer") + reply.all(b"set-cookie") == []
