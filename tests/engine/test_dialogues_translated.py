"""Dialogues about routes that translate: what goes up in the platform's words, what comes down in the client's."""

import gzip
import json
import zlib

import pytest

from tests.engine.handled import head_and_body
from tests.engine.stage import KEY, MemoryTransport, answer, chunk, stage, status_of
from tests.engine.translated import (
    BLOCK,
    CHAT,
    CLOSED,
    ENDING,
    HEAD,
    RULES,
    START,
    STOP,
    STREAM,
    WHOLE,
    asking,
    asks,
    chunks_of,
    data_of,
    delta,
    streamed,
    text_of,
    told,
)
from tests.harness.runner import async_test, turns, until

ASKED_FOR = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
EXPLAIN = b"X-Dragoman-Explain: 1\r\n"


@async_test()
async def test_a_question_goes_up_in_the_platforms_words_and_its_answer_comes_down_in_the_clients() -> None:
    async with stage(rules_of=RULES) as scene:
        more = b"OpenAI-Organization: o\r\nX-Stainless-Lang: python\r\nX-Own: yes\r\nAuthorization: Bearer theirs\r\n"
        client, upstream = await asks(scene, asking(CHAT, "/speaker/v1/chat/completions?own=1", more=more))
        start, fields, body = head_and_body(upstream.heard())
        assert start == b"POST /base/v1/messages?own=1 HTTP/1.1"
        assert json.loads(body) == {"model": "s1", "max_tokens": 100, "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}  # fmt: skip
        assert fields == {
            "host": "speaker.example",
            "x-own": "yes",
            "accept-encoding": "identity",
            "via": "1.1 dragoman",
            "x-api-key": KEY,
            "anthropic-version": "2023-06-01",
            "content-type": "application/json",
            "content-length": str(len(body)),
        }
        upstream.says(answer(json.dumps(WHOLE).encode(), more=b"Content-Type: application/json\r\nX-Theirs: 1\r\n"))
        start, fields, body = head_and_body(client.heard())
        assert (start, fields["content-type"], fields["x-theirs"]) == (b"HTTP/1.1 200 OK", "application/json", "1")
        assert fields["content-length"] == str(len(body))
        said = json.loads(body)
        assert said["object"] == "chat.completion"
        assert said["choices"][0]["message"]["content"] == "Hello"
        assert said["usage"]["total_tokens"] == 7
        assert scene.calm


@async_test(loops=False)
async def test_an_alias_is_the_platforms_own_name_and_an_option_may_depend_on_it() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(
            scene, asking({**CHAT, "model": "alias", "temperature": 0.5}, "/v1/chat/completions", EXPLAIN)
        )
        body = json.loads(head_and_body(upstream.heard())[2])
        assert body["model"] == "real"
        assert "temperature" not in body
        upstream.says(answer(json.dumps(WHOLE).encode()))
        _, fields, _ = head_and_body(client.heard())
        assert fields["x-dragoman-dropped"] == "temperature"


async def hears(client: MemoryTransport) -> bytes:
    """What comes next, however long it takes: the head of a stream that says nothing waits a moment."""
    heard: list[bytes] = []
    await until(lambda: heard.append(client.heard()) or heard[-1])  # type: ignore[func-returns-value]
    return heard[-1]


@async_test()
async def test_G11_an_event_is_out_before_the_next_comes_in() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(ASKED_FOR))
        assert json.loads(head_and_body(upstream.heard())[2])["stream"] is True
        upstream.says(HEAD)
        head = await hears(client)
        assert status_of(head) == 200
        assert b"\r\nContent-Type: text/event-stream\r\n" in head
        upstream.says(chunk(START), chunk(BLOCK))
        begun = data_of(chunks_of(client.heard()))
        for text in ("Hel", "lo"):
            upstream.says(chunk(delta(text)))
            assert text_of(data_of(chunks_of(client.heard()))) == text
        upstream.says(chunk(CLOSED), chunk(ENDING), chunk(STOP))
        *rest, done = data_of(chunks_of(client.heard()))
        assert done == "[DONE]"
        assert [choice["finish_reason"] for event in rest for choice in event["choices"]] == ["stop"]
        assert [event["usage"]["total_tokens"] for event in rest if event.get("usage")] == [12]
        assert begun[0]["choices"][0]["delta"]["role"] == "assistant"
        upstream.says(b"0\r\n\r\n")
        assert client.heard() == b"0\r\n\r\n"
        assert scene.calm


@pytest.mark.parametrize("cut", [1, 2, 3, 17, 150, 4096])
@async_test(loops=False)
async def test_a_stream_says_the_same_at_every_cut(cut: int) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(ASKED_FOR))
        said = streamed(*STREAM)
        upstream.says(*[said[at : at + cut] for at in range(0, len(said), cut)])
        heard = data_of(chunks_of(client.heard().partition(b"\r\n\r\n")[2]))
        assert text_of(heard) == "Hello"
        assert heard[-1] == "[DONE]"
        assert scene.calm


@pytest.mark.parametrize("gone", ["reset", "closed"])
@async_test()
async def test_I07_a_cut_stream_ends_with_an_error_event_and_no_end(gone: str) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(ASKED_FOR))
        upstream.says(streamed(*STREAM[:4], end=False))
        upstream.resets() if gone == "reset" else upstream.leaves()
        await turns()
        framed = client.heard().partition(b"\r\n\r\n")[2]
        *said, last = data_of(chunks_of(framed))
        assert text_of(said) == "Hello"
        assert last["error"]["type"] == "server_error"
        assert not framed.endswith(b"0\r\n\r\n")
        assert client.closed
        assert scene.calm


@async_test()
async def test_I07_a_stream_that_stops_before_its_own_end_is_given_none() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(ASKED_FOR))
        upstream.says(streamed(*STREAM[:4]))
        framed = client.heard().partition(b"\r\n\r\n")[2]
        *said, last = data_of(chunks_of(framed))
        assert text_of(said) == "Hello"
        assert "error" in last
        assert not framed.endswith(b"0\r\n\r\n")
        assert client.closed


GENERATED_BY_SPEAKER = "/speaker/v1beta/models/s1:streamGenerateContent?alt=sse"
HI_IN_PARTS = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
COMPOSED = RULES | {"speaker": RULES["speaker"] + "  generate to messages: {}\n"}


@pytest.mark.parametrize("said", [(), (b": hello\n\n",), (START,), (START, BLOCK)])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/speaker/v1/chat/completions", ASKED_FOR),
        ("/speaker/v1/responses", {"model": "s1", "input": "Hi", "stream": True}),
        (GENERATED_BY_SPEAKER, HI_IN_PARTS),
    ],
)
@async_test(loops=False)
async def test_I07_a_stream_that_ends_before_it_says_anything_is_the_platforms_failure_and_not_ours(
    path: str, body: object, said: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(rules_of=COMPOSED) as scene:
        client, upstream = await asks(scene, asking(body, path))
        upstream.says(streamed(*said))
        await turns()
        heard = client.heard()
        head, _, framed = heard.partition(b"\r\n\r\n")
        if not said or path == GENERATED_BY_SPEAKER:  # nothing has gone out: the failure is an answer
            assert status_of(heard) == 502
            assert f"\r\nContent-Length: {len(framed)}\r\n".encode() in head + b"\r\n"
            assert "ended before its answer did" in json.loads(framed)["error"]["message"]
            assert not client.closed
        else:
            assert status_of(heard) == 200
            assert b"ended before its answer did" in chunks_of(framed)
            assert not framed.endswith(b"0\r\n\r\n")
            assert client.closed
        assert scene.calm
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@async_test(loops=False)
async def test_an_event_that_is_none_of_the_protocol_ends_the_stream_behind_what_was_said() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(ASKED_FOR))
        upstream.says(HEAD + chunk(START + BLOCK + delta("Hello") + b"data: {broken\n\n"))
        *said, last = data_of(chunks_of(client.heard().partition(b"\r\n\r\n")[2]))
        assert text_of(said) == "Hello"
        assert last["error"]["code"] == "bad_answer"
        assert client.closed


@pytest.mark.parametrize("end", [True, False])
@async_test(loops=False)
async def test_I07_an_error_inside_a_stream_is_said_once_in_the_clients_protocol(end: bool) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(ASKED_FOR))
        failed = told("error", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
        upstream.says(streamed(START, BLOCK, delta("He"), failed, end=end))
        if not end:
            upstream.resets()
        await turns()
        heard = data_of(chunks_of(client.heard().partition(b"\r\n\r\n")[2]))
        assert [event["error"]["message"] for event in heard if "error" in event] == ["Overloaded"]
        assert "[DONE]" not in heard
        assert client.closed == (not end)


@async_test()
async def test_I03_a_failure_keeps_its_meaning_and_retry_after() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(CHAT))
        failed = {"type": "error", "error": {"type": "rate_limit_error", "message": "slower"}}
        more = b"Content-Type: application/json\r\nRetry-After: 17\r\nanthropic-ratelimit-tokens-remaining: 5\r\n"
        upstream.says(answer(json.dumps(failed).encode(), more=more, status=b"429 Too Many Requests"))
        start, fields, body = head_and_body(client.heard())
        assert start == b"HTTP/1.1 429 Too Many Requests"
        assert (fields["retry-after"], fields["x-ratelimit-remaining-tokens"]) == ("17", "5")
        error = json.loads(body)["error"]
        assert (error["message"], error["type"]) == ("slower", "rate_limit_error")
        assert scene.calm


@pytest.mark.parametrize("stream", [False, True])
@async_test(loops=False)
async def test_a_failure_under_200_is_one(stream: bool) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking({**CHAT, "stream": stream}))
        failed = {"type": "error", "error": {"type": "not_found_error", "message": "no such model"}}
        upstream.says(answer(json.dumps(failed).encode(), more=b"Content-Type: application/json\r\n"))
        heard = client.heard()
        assert status_of(heard) == 404
        assert json.loads(heard.partition(b"\r\n\r\n")[2])["error"]["message"] == "no such model"


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (False, streamed(*STREAM)),
        (True, answer(b'{"type":"message","content":7}', more=b"Content-Type: application/json\r\n")),
        (True, answer(b"", more=b"Content-Type: application/json\r\n")),
        (False, answer(b"<html>", more=b"Content-Type: text/html\r\n")),
        (False, answer(b'{"type":"message","content":7}', more=b"Content-Type: application/json\r\n")),
        (False, answer(b"[]", more=b"Content-Type: application/json\r\n")),
    ],
)  # fmt: skip
@async_test(loops=False)
async def test_an_answer_of_another_form_than_asked_for_is_a_502_that_says_so(stream: bool, said: bytes) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking({**CHAT, "stream": stream}))
        upstream.says(said)
        heard = client.heard()
        assert status_of(heard) == 502
        assert json.loads(heard.partition(b"\r\n\r\n")[2])["error"]["code"] == "bad_answer"
        assert scene.calm


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@async_test(loops=False)
async def test_E07_a_whole_answer_to_a_call_that_streams_goes_out_as_the_stream_that_says_it(version: bytes) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(ASKED_FOR).replace(b"HTTP/1.1", b"HTTP/" + version))
        upstream.says(answer(json.dumps(WHOLE).encode(), more=b'Content-Type: application/json\r\nETag: "theirs"\r\n'))
        start, fields, body = head_and_body(client.heard())
        assert (start, fields["content-type"]) == (b"HTTP/1.1 200 OK", "text/event-stream")
        assert (fields["cache-control"], fields["x-accel-buffering"]) == ("no-cache", "no")
        assert not {"content-length", "etag"} & set(fields)
        if version == b"1.1":
            assert body.endswith(b"0\r\n\r\n")
            body = chunks_of(body)
        *said, done = data_of(body)
        assert (text_of(said), done) == ("Hello", "[DONE]")
        assert [choice["finish_reason"] for event in said for choice in event["choices"]][-1] == "stop"
        assert said[-1]["usage"]["total_tokens"] == 7
        assert client.closed == (version == b"1.0")
        metrics = scene.gateway.worker.metrics.exchange("speaker", "POST /v1/chat/completions", "POST", "s1")
        assert (metrics.input_tokens.value, metrics.output_tokens.value) == (3, 4)
        assert scene.calm


@async_test(loops=False)
async def test_without_stream_options_a_whole_answer_is_streamed_without_usage() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking({**CHAT, "stream": True}))
        upstream.says(answer(json.dumps(WHOLE).encode(), more=b"Content-Type: application/json\r\n"))
        heard = client.heard()
        assert b"[DONE]" in heard
        assert b'"usage"' not in heard


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({**CHAT, "n": 2}, "n"),
        ({**CHAT, "messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "messages[0]"),
        ({**CHAT, "seed": 1}, "seed"),
    ],
)  # fmt: skip
@async_test(loops=False)
async def test_what_cannot_be_said_is_refused_by_its_name(body: object, param: str) -> None:
    async with stage(rules_of=RULES) as scene:
        client = scene.client()
        client.says(asking(body, "/speaker/strict"))
        await turns()
        heard = client.heard()
        assert status_of(heard) == 400
        error = json.loads(heard.partition(b"\r\n\r\n")[2])["error"]
        assert error["code"] == "unsupported_field"
        assert error["param"].startswith(param)
        assert scene.dialer("speaker").dialed == 0


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (asking(b"{", "/speaker/v1/chat/completions"), 400, "json_syntax"),
        (asking(b"[]", "/speaker/v1/chat/completions"), 400, "body_not_object"),
        (asking(b"", "/speaker/v1/chat/completions"), 400, "body_not_json"),
        (asking(b'{"model":"s1","model":"m2"}', "/speaker/v1/chat/completions"), 400, None),
        (asking({"messages": []}, "/speaker/v1/chat/completions"), 400, "model_required"),
    ],
)
@async_test(loops=False)
async def test_P01_only_one_clear_json_object_is_translated(request_: bytes, status: int, code: str | None) -> None:
    async with stage(rules_of=RULES) as scene:
        client = scene.client()
        client.says(request_)
        await turns()
        heard = client.heard()
        assert status_of(heard) == status
        assert code in (None, json.loads(heard.partition(b"\r\n\r\n")[2])["error"]["code"])


@async_test(loops=False)
async def test_dropped_fields_are_named_where_the_client_asks_and_counted_where_not() -> None:
    async with stage(rules_of=RULES) as scene:
        body = {**CHAT, "seed": 1, "logit_bias": {"1": 2}, "stream": True}
        client, upstream = await asks(scene, asking(body, more=EXPLAIN))
        head, _, _ = upstream.heard().partition(b"\r\n\r\n")
        assert b"explain" not in head.lower()
        upstream.says(streamed(*STREAM))
        fields = head_and_body(client.heard())[1]
        assert set(fields["x-dragoman-dropped"].split(", ")) == {"seed", "logit_bias"}
        client.says(asking(body))
        await turns()
        upstream.says(streamed(*STREAM))
        assert "x-dragoman-dropped" not in head_and_body(client.heard())[1]
        assert scene.gateway.worker.metrics.rule_note("speaker", "field_dropped").value == 2


@async_test(loops=False)
async def test_send_on_a_translated_route_goes_straight_to_its_path() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking({**ASKED_FOR, "user": "u"}, "/speaker/strict?own=1"))
        start, fields, _ = head_and_body(upstream.heard())
        assert start == b"POST /base/v2/s1/live?own=1&q=s1 HTTP/1.1"
        assert fields["x-rule"] == "u"
        upstream.says(answer(b'{"code":7,"msg":"slower"}', more=b"Content-Type: application/json\r\n"))
        heard = client.heard()
        assert status_of(heard) == 429
        assert json.loads(heard.partition(b"\r\n\r\n")[2])["error"]["message"] == "slower"


@async_test()
async def test_L01_a_client_that_leaves_ends_the_call_at_once() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(ASKED_FOR))
        upstream.says(HEAD + chunk(START))
        client.resets()
        await turns()
        assert upstream.aborted
        assert scene.calm


@async_test()
async def test_F04_a_slow_client_holds_the_platform_back() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(ASKED_FOR), window=100)
        upstream.says(HEAD + chunk(START + BLOCK))
        while upstream.is_reading():
            upstream.says(chunk(delta("x" * 4000)))
        upstream.says(chunk(delta("later")))
        assert b"later" not in client.heard()
        client.takes()
        await turns()
        assert upstream.is_reading()
        assert b"later" in client.heard()


@async_test(loops=False)
async def test_P05_a_compressed_stream_is_read_and_said_plainly() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(ASKED_FOR))
        data = gzip.compress(b"".join(STREAM))
        upstream.says(HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + chunk(data) + b"0\r\n\r\n")
        head, _, body = client.heard().partition(b"\r\n\r\n")
        assert b"content-encoding" not in head.lower()
        assert text_of(data_of(chunks_of(body))) == "Hello"


@async_test(loops=False)
async def test_P05_a_stream_whose_coding_makes_far_more_of_it_is_cut_with_the_reason() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(ASKED_FOR))
        packer = zlib.compressobj(wbits=31)
        upstream.says(HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))
        upstream.says(chunk(packer.compress(START + BLOCK) + packer.flush(zlib.Z_SYNC_FLUSH)))
        upstream.says(chunk(packer.compress(delta("x" * (4 << 20))) + packer.flush()))
        await turns()
        last = data_of(chunks_of(client.heard().partition(b"\r\n\r\n")[2]))[-1]
        assert last["error"]["code"] == "answer_too_large"
        assert "100 times its size" in last["error"]["message"]
        assert client.closed
        assert upstream.aborted


@pytest.mark.parametrize("stream", [False, True])
@async_test(loops=False)
async def test_P05_a_coding_that_nobody_reads_is_no_answer(stream: bool) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking({**CHAT, "stream": stream}))
        upstream.says(HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: zzz\r\n\r\n") + chunk(b"?") + b"0\r\n\r\n")
        assert status_of(client.heard()) == 502


@async_test(loops=False)
async def test_P09_a_large_question_is_translated_too() -> None:
    async with stage(rules_of=RULES) as scene:
        text = "x" * (2 << 20)
        client = scene.client()
        client.says(asking({"model": "s1", "messages": [{"role": "user", "content": text}]}))
        upstream = await scene.upstream("speaker")
        heard = b""
        while len(heard) < len(text):
            await turns()
            heard += upstream.heard()
        assert json.loads(heard.partition(b"\r\n\r\n")[2])["messages"][0]["content"][0]["text"] == text
        upstream.says(answer(json.dumps(WHOLE).encode()))
        assert status_of(client.heard()) == 200


@async_test(loops=False)
async def test_tokens_are_counted_as_the_platform_says_them() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking({**CHAT, "stream": True}))
        upstream.says(streamed(*STREAM))
        assert client.heard()
        metrics = scene.gateway.worker.metrics.exchange("speaker", "POST /v1/chat/completions", "POST", "s1")
        assert (metrics.input_tokens.value, metrics.output_tokens.value) == (3, 9)


# --- a platform that speaks chat, with a rule of its own ---

HELLO = {"id": "c9", "object": "chat.completion", "model": "h1", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]}  # fmt: skip
MESSAGE = {"model": "h1", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def piece(delta_: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta_, "finish_reason": finish}
    return (
        b"data: "
        + json.dumps({"id": "c9", "object": "chat.completion.chunk", "model": "h1", "choices": [choice]}).encode()
        + b"\n\n"
    )


SAID = (piece({"role": "assistant", "content": ""}), piece({"content": "Hel"}), piece({"content": "lo"}), piece({}, "stop"))
GENERATED = "/hub/v1beta/models/h1:"


@async_test()
async def test_a_message_goes_on_by_the_platforms_own_route_with_all_that_it_says() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(MESSAGE, "/hub/v1/messages?beta=true&own=1", b"anthropic-beta: b\r\n"), "hub")
        start, fields, body = head_and_body(upstream.heard())
        assert start == b"POST /api/chat?own=1 HTTP/1.1"
        assert "anthropic-beta" not in fields
        assert json.loads(body) == {
            "model": "h1", "max_completion_tokens": 5, "own": True, "messages": [{"role": "user", "content": "Hi"}]}  # fmt: skip
        upstream.says(answer(json.dumps(HELLO).encode(), more=b"Content-Type: application/json\r\n"))
        said = json.loads(head_and_body(client.heard())[2])
        assert (said["type"], said["content"], said["stop_reason"]) == ("message", [{"type": "text", "text": "Hello"}], "end_turn")


@async_test(loops=False)
async def test_K07_a_translated_call_is_tried_again_where_the_platforms_route_says_so() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(MESSAGE, "/hub/v1/messages"), "hub")
        first = upstream.heard()
        upstream.says(answer(b"{}", status=b"503 Service Unavailable"))
        await until(lambda: len(upstream._taken) >= len(first))
        upstream.says(answer(json.dumps(HELLO).encode(), more=b"Content-Type: application/json\r\n"))
        assert upstream.heard() == first
        assert status_of(client.heard()) == 200


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@async_test(loops=False)
async def test_G14_events_that_say_nothing_and_a_closing_word_with_blanks_are_no_broken_json(line_end: bytes) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking({**MESSAGE, "stream": True}, "/hub/v1/messages"), "hub")
        odd = (
            b"\xef\xbb\xbf: hello\n\n",
            b"data:\n\n",
            b"retry: 500\n\n",
            b"id: 7\ndata: \n\n",
            b"event: ping\n\n",
            b"data:\ndata:\n\n",
        )
        said = b"".join((*odd, *SAID, *odd[1:], b"data: [DONE] \n\n")).replace(b"\n", line_end)
        upstream.says(HEAD + chunk(said) + b"0\r\n\r\n")
        framed = client.heard().partition(b"\r\n\r\n")[2]
        events = data_of(chunks_of(framed))
        assert [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"] == ["Hel", "lo"]
        assert events[-1]["type"] == "message_stop"
        assert framed.endswith(b"0\r\n\r\n")


@async_test(loops=False)
async def test_what_the_platforms_route_drops_of_a_stream_reaches_nobody() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking({**MESSAGE, "stream": True}, "/hub/v1/messages"), "hub")
        upstream.says(streamed(SAID[0], b'data: {"skip":true}\n\n', *SAID[1:], b"data: [DONE]\n\n"))
        heard = data_of(chunks_of(client.heard().partition(b"\r\n\r\n")[2]))
        assert [event["type"] for event in heard] == [
            "message_start", "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
            "message_delta", "message_stop"]  # fmt: skip


@async_test()
async def test_G08_a_generate_client_gets_bare_events_with_crlf() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(CONTENTS, GENERATED + "streamGenerateContent?alt=sse"), "hub")
        sent = json.loads(head_and_body(upstream.heard())[2])
        assert (sent["model"], sent["stream"]) == ("h1", True)
        upstream.says(streamed(*SAID, b"data: [DONE]\n\n"))
        head, _, body = client.heard().partition(b"\r\n\r\n")
        assert b"\r\nContent-Type: text/event-stream\r\n" in head
        events = chunks_of(body).split(b"\r\n\r\n")
        assert events.pop() == b""
        assert all(event.startswith(b"data: {") and b"\n" not in event for event in events)
        parts = [json.loads(event[6:])["candidates"][0]["content"]["parts"] for event in events]
        assert "".join(part.get("text", "") for found in parts for part in found) == "Hello"


@pytest.mark.parametrize("end", [True, False])
@async_test(loops=False)
async def test_without_alt_sse_it_is_one_json_array_that_only_a_regular_end_closes(end: bool) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(CONTENTS, GENERATED + "streamGenerateContent"), "hub")
        upstream.says(streamed(*SAID[:2], end=False))
        first = client.heard()
        assert b"\r\nContent-Type: application/json\r\n" in first
        begun = chunks_of(first.partition(b"\r\n\r\n")[2])
        assert begun.startswith(b"[{")
        if end:
            upstream.says(*map(chunk, SAID[2:]), chunk(b"data: [DONE]\n\n"), b"0\r\n\r\n")
            whole = json.loads(begun + chunks_of(client.heard()))
            assert whole[-1]["candidates"][0]["finishReason"] == "STOP"
        else:
            upstream.resets()
            await turns()
            assert client.heard() == b""
            assert client.closed


@pytest.mark.parametrize(
    ("path", "body", "told_as"),
    [
        ("/hub/v1/messages", {**MESSAGE, "stream": True}, b"event: error\ndata: "),
        ("/hub/v1/responses", {"model": "h1", "input": "Hi", "stream": True}, b"event: error\ndata: "),
        (GENERATED + "streamGenerateContent?alt=sse", CONTENTS, b'data: {"error":'),
    ],
)
@async_test(loops=False)
async def test_I07_each_protocol_hears_of_a_cut_in_its_own_words(path: str, body: object, told_as: bytes) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(body, path), "hub")
        upstream.says(streamed(*SAID[:2], end=False))
        assert told_as not in chunks_of(client.heard().partition(b"\r\n\r\n")[2])
        upstream.resets()
        await turns()
        framed = client.heard()
        words = chunks_of(framed)
        assert words.startswith(told_as)
        assert words.count(b"data: ") == 1
        assert not framed.endswith(b"0\r\n\r\n")
        assert client.closed


@async_test(loops=False)
async def test_an_error_event_of_responses_counts_on() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking({"model": "h1", "input": "Hi", "stream": True}, "/hub/v1/responses"), "hub")
        upstream.says(streamed(*SAID[:2], end=False))
        upstream.resets()
        await turns()
        heard = data_of(chunks_of(client.heard().partition(b"\r\n\r\n")[2]))
        assert [event["sequence_number"] for event in heard] == list(range(len(heard)))


@async_test(loops=False)
async def test_a_failure_of_the_gateway_itself_is_in_the_clients_words() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(MESSAGE, "/hub/v1/messages"), "hub")
        upstream.resets()
        await turns()
        heard = client.heard()
        assert status_of(heard) == 502
        assert json.loads(heard.partition(b"\r\n\r\n")[2])["type"] == "error"


@pytest.mark.parametrize(
    ("path", "body", "last"),
    [
        ("/hub/v1/messages", {**MESSAGE, "stream": True}, b"event: message_stop\ndata: "),
        ("/hub/v1/responses", {"model": "h1", "input": "Hi", "stream": True}, b"event: response.completed\ndata: "),
        (GENERATED + "streamGenerateContent?alt=sse", CONTENTS, b'data: {"candidates":'),
    ],
)
@async_test(loops=False)
async def test_a_chat_platform_that_does_not_stream_is_heard_as_a_stream_in_every_protocol(
    path: str, body: object, last: bytes
) -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(body, path), "hub")
        upstream.says(answer(json.dumps(HELLO).encode(), more=b"Content-Type: application/json\r\n"))
        head, _, framed = client.heard().partition(b"\r\n\r\n")
        assert b"\r\nContent-Type: text/event-stream\r\n" in head
        events = chunks_of(framed).replace(b"\r\n", b"\n").removesuffix(b"\n\n").split(b"\n\n")
        assert events[-1].startswith(last)
        assert b"Hello" in b"".join(events)


@async_test(loops=False)
async def test_one_json_array_is_made_of_a_whole_answer_too() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(CONTENTS, GENERATED + "streamGenerateContent"), "hub")
        upstream.says(answer(json.dumps(HELLO).encode(), more=b"Content-Type: application/json\r\n"))
        _, fields, body = head_and_body(client.heard())
        assert (fields["content-type"], fields["content-length"]) == ("application/json", str(len(body)))
        assert json.loads(body)[-1]["candidates"][0]["finishReason"] == "STOP"


# --- a platform whose own route maps its stream into chat ---

MAPPER = """\
platform: mapper
upstream: http://mapper.example
auth: {bearer: "${secret.MAPPER_KEY}"}
models: [p1]
routes:
  POST /v1/chat/completions:
    send: POST /talk
    stream:
      events:
        - when: ${data.x}
          send: {usage: {total_tokens: "${sum(data.x)}"}}
        - send: {id: c1, choices: [{index: 0, delta: {content: "${data.t}"}, finish_reason: "${data.end}"}]}
translate: [messages to chat]
"""
TALK = asking(
    {"model": "p1", "max_tokens": 5, "stream": True, "messages": [{"role": "user", "content": "Hi"}]}, "/mapper/v1/messages"
)


FAILING = """\
platform: failing
title: Fails within a stream
upstream: http://upstream.test
auth: none
models: [f1]
errors: {when: "${body.code}", status: {7: 400}, message: "${body.text}"}
routes:
  POST /v1/chat/completions:
    send: POST /talk
    stream:
      events:
        - when: ${data.code}
          error: {}
        - send: {id: c1, choices: [{index: 0, delta: {content: "${data.t}"}, finish_reason: "${data.end}"}]}
translate: [messages to chat, responses to chat]
"""


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("chat/completions", {"error": {"message": "bad words", "type": "invalid_request_error", "param": None, "code": "7"}}),
        ("messages", {"type": "error", "error": {"type": "invalid_request_error", "message": "bad words"}}),
        ("responses", {"error": {"message": "bad words", "type": "invalid_request_error", "param": None, "code": "7"}}),
    ],
)
@pytest.mark.parametrize("apart", [False, True])
@async_test(loops=False)
async def test_I07_what_fails_before_it_says_anything_has_the_status_of_its_failure(path: str, said: object, apart: bool) -> None:
    async with stage(rules_of={**RULES, "failing": FAILING}) as scene:
        told = {"input": "Hi"} if path == "responses" else {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
        body = {"model": "f1", "stream": True, **told}
        client, upstream = await asks(scene, asking(body, f"/failing/v1/{path}"), "failing")
        failing = chunk(b'data: {"code":7,"text":"bad words"}\n\n')
        for piece in (HEAD, failing) if apart else (HEAD + failing,):
            upstream.says(piece)
            await turns()
        heard = client.heard()
        assert status_of(heard) == 400
        assert json.loads(heard.partition(b"\r\n\r\n")[2]) == said
        assert not client.closed
        assert upstream.aborted
        assert scene.calm


@async_test(loops=False)
async def test_I07_what_fails_after_its_head_has_gone_out_is_told_inside_the_stream() -> None:
    async with stage(rules_of={**RULES, "failing": FAILING}) as scene:
        client, upstream = await asks(scene, asking({**ASKED_FOR, "model": "f1"}, "/failing/v1/chat/completions"), "failing")
        upstream.says(HEAD)
        head = await hears(client)
        assert (status_of(head), head[-4:]) == (200, b"\r\n\r\n")
        upstream.says(chunk(b'data: {"code":7,"text":"bad words"}\n\n'))
        heard = client.heard()
        assert [event["error"]["code"] for event in data_of(chunks_of(heard))] == ["7"]
        assert not heard.endswith(b"0\r\n\r\n")
        assert client.closed
        assert scene.calm


COMMENT = b": keep-alive\n\n"
PING = b'event: ping\ndata: {"type":"ping"}\n\n'


@pytest.mark.parametrize(
    ("platform", "request_bytes", "beats", "said"),
    [
        ("speaker", asking(ASKED_FOR), [COMMENT, PING], COMMENT),
        ("speaker", asking({"model": "s1", "input": "Hi", "stream": True}, "/speaker/v1/responses"), [COMMENT, PING], COMMENT),
        ("speaker", asking(HI_IN_PARTS, GENERATED_BY_SPEAKER), [COMMENT, PING], b""),  # its readers know no comments
        ("mapper", TALK, [COMMENT, COMMENT], PING),
    ],
)
@async_test(loops=False)
async def test_G09_what_a_platform_says_to_stay_awake_keeps_the_client_awake_too(
    platform: str, request_bytes: bytes, beats: list[bytes], said: bytes
) -> None:
    async with stage(rules_of={**COMPOSED, "mapper": MAPPER}) as scene:
        client, upstream = await asks(scene, request_bytes, platform)
        upstream.says(HEAD + chunk(beats[0]))
        heard = client.heard() or await hears(client)
        assert status_of(heard) == 200
        assert chunks_of(heard.partition(b"\r\n\r\n")[2]) == said
        upstream.says(chunk(beats[1][:5]))
        assert client.heard() == b""
        upstream.says(chunk(beats[1][5:]))
        assert chunks_of(client.heard()) == said


@async_test(loops=False)
async def test_L01_a_client_that_leaves_before_the_first_event_ends_the_call() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(ASKED_FOR))
        upstream.says(HEAD)
        client.leaves()
        await turns()
        assert upstream.aborted
        assert scene.calm


@pytest.mark.parametrize("blank_line", [b"\n\n", b"\n", b""])
@async_test(loops=False)
async def test_G06_a_last_event_without_its_blank_line_is_mapped_once(blank_line: bytes) -> None:
    async with stage(rules_of={**RULES, "mapper": MAPPER}) as scene:
        client, upstream = await asks(scene, TALK, "mapper")
        upstream.says(streamed(b'data: {"t":"Hello"}\n\n', b'data: {"t":" you","end":"stop"}' + blank_line))
        framed = client.heard().partition(b"\r\n\r\n")[2]
        assert framed.endswith(b"0\r\n\r\n")
        events = data_of(chunks_of(framed))
        assert [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"] == ["Hello", " you"]
        assert events[-1]["type"] == "message_stop"


@pytest.mark.parametrize("begun", [True, False])
@async_test(loops=False)
async def test_I07_what_the_platforms_own_route_cannot_map_ends_the_stream_at_once_with_one_error(begun: bool) -> None:
    async with stage(rules_of={**RULES, "mapper": MAPPER}) as scene:
        client, upstream = await asks(scene, TALK, "mapper")
        upstream.says(HEAD + chunk((b'data: {"t":"Hello"}\n\n' if begun else b"") + b'data: {"x":["none"]}\n\n'))
        await turns()
        heard = client.heard()
        framed = heard.partition(b"\r\n\r\n")[2]
        if begun:
            events = [event["type"] for event in data_of(chunks_of(framed))]
            assert (events[-1], events.count("error"), events.count("content_block_delta")) == ("error", 1, 1)
            assert not framed.endswith(b"0\r\n\r\n")
            assert client.closed
        else:
            assert (status_of(heard), json.loads(framed)["type"]) == (500, "error")  # this protocol's word for a 502
            assert not client.closed
        assert upstream.aborted
        assert scene.calm


@async_test(loops=False)
async def test_I01_an_empty_answer_is_said_to_be_empty() -> None:
    async with stage(rules_of=RULES) as scene:
        client, upstream = await asks(scene, asking(CHAT))
        upstream.says(answer(b"", more=b"Content-Type: application/json\r\n"))
        assert json.loads(head_and_body(client.heard())[2])["error"]["message"].endswith("which the rule needs; it is empty")
