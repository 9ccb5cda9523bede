"""Battery C: the pool of upstream connections. Clients that leave have their own file."""

import asyncio
import random
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.harness.certificates import Authority
from tests.harness.chaos import OK, Fin, Heard, Peer, Say, answer, black_hole, chunk, closed_port, play, says
from tests.harness.gateway import rule_file, stage
from tests.harness.resolving import Names
from tests.harness.runner import async_test, turns, until
from tests.harness.words import get, post, stream

STRAY = answer(b"200 OK", b"for somebody else")


@pytest.mark.slow
@async_test(patience=120)
async def test_B17_K03_case51_five_hundred_stray_answers_reach_nobody() -> None:
    async with stage() as scene:
        for run in range(500):
            client = await scene.client()
            await client.says(get(b"/test/a"))
            first = await scene.peer.hears()
            await first.say(OK)
            assert (await client.hears()).body == b'{"ok":true}'
            await turns(run % 3)
            await first.line.wire.send(STRAY)
            await turns((0, 1, 4, 8)[run % 4])  # with 0 the stray bytes lie unread in the socket when the next request comes
            await client.says(get(b"/test/b"))
            second = await scene.peer.hears()
            assert second.line is not first.line
            await second.say(answer(b"200 OK", b"%d" % run))
            assert (await client.hears()).body == b"%d" % run
            assert client.buffer == b""
            assert await first.line.gone()
            client.leaves()
            second.line.fin()


@pytest.mark.parametrize(
    "stray", [b"x", b"\r\n", b"HTTP/1.1 2", STRAY, b"\x00" * 100_000], ids=["byte", "CRLF", "half line", "answer", "NULs"]
)
@async_test()
async def test_B17_case52_any_stray_byte_drops_the_idle_connection_and_harms_nobody(stray: bytes) -> None:
    async with stage() as scene:
        client = await scene.client()
        await client.says(post())
        first = await scene.peer.hears()
        await first.say(OK)
        assert (await client.hears()).status == 200
        await turns()
        assert scene.count("upstream_idle") == 1
        await first.line.wire.send(stray[:60_000])
        await first.line.gone()
        assert scene.count("upstream_idle") == 0
        await client.says(post())
        second = await scene.peer.hears()
        await second.say(OK)
        assert (await client.hears()).body == b'{"ok":true}'
        assert scene.metric("dragoman_upstream_unsolicited_bytes_total") >= 1


@async_test()
async def test_K06_case53_a_get_on_a_dead_connection_is_retried_once_on_a_fresh_one() -> None:
    async with stage() as scene:
        client = await scene.client()
        for method in (b"GET", b"HEAD", b"OPTIONS"):
            await client.says(get(b"/test/x", method=method))
            first = await scene.peer.hears()
            await first.say(answer())
            await client.hears(to=method)
            await client.says(get(b"/test/x", method=method))
            dead = await scene.peer.hears()
            assert dead.line is first.line
            dead.line.fin()
            again = await scene.peer.hears()
            assert again.line is not first.line
            await again.say(answer())
            assert (await client.hears(to=method)).status == 200
            again.line.fin()
            await turns()


@async_test()
async def test_K06_a_get_is_not_retried_twice_nor_on_a_fresh_connection() -> None:
    async with stage(Peer(play(Fin()))) as scene:
        assert (await scene.asks(get())).status == 502
        assert len(scene.peer.requests) == 1


@async_test()
async def test_K06_case53_a_post_on_a_dead_connection_is_a_502_and_seen_once() -> None:
    async with stage() as scene:
        client = await scene.client()
        await client.says(post())
        first = await scene.peer.hears()
        await first.say(OK)
        await client.hears()
        await client.says(post())
        dead = await scene.peer.hears()
        assert dead.line is first.line
        dead.line.fin()
        reply = await client.hears()
        assert (reply.status, reply.error) == (502, "connection_terminated")
        assert len(scene.peer.requests) == 2


@async_test()
async def test_K06_an_idle_connection_the_upstream_closed_is_noticed_before_a_post_is_lost_on_it() -> None:
    async with stage() as scene:
        client = await scene.client()
        for _ in range(10):
            await client.says(post())
            heard = await scene.peer.hears()
            await heard.say(OK)
            assert (await client.hears()).status == 200
            heard.line.fin()
            await turns()


@async_test()
async def test_K07_nothing_is_retried_after_a_byte_or_a_status_of_the_upstream() -> None:
    for raw in (answer(b"503 Busy"), answer(b"429 Slow"), b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"):
        async with stage() as scene:
            client = await scene.client()
            await client.says(get())
            warm = await scene.peer.hears()
            await warm.say(OK)
            await client.hears()
            await client.says(get())
            heard = await scene.peer.hears()
            await heard.say(raw)
            await turns()
            heard.line.fin()
            await client.hears()
            assert len(scene.peer.requests) == 2


@async_test()
async def test_K05_only_a_request_that_was_never_sent_is_tried_on_another_address() -> None:
    async with Peer(says(OK), host="127.0.0.2") as peer:
        names = Names(two_test=["127.0.0.3", "127.0.0.2"])
        async with stage(rules={"test": rule_file(f"http://two.test:{peer.port}")}, resolver=names) as scene:
            assert (await scene.asks(post())).status == 200
            assert len(peer.requests) == 1
    async with Peer(play(Fin()), host="127.0.0.2") as first, Peer(says(OK), host="127.0.0.3", port=first.port) as second:
        names = Names(two_test=["127.0.0.2", "127.0.0.3"])
        async with stage(rules={"test": rule_file(f"http://two.test:{first.port}")}, resolver=names) as scene:
            assert (await scene.asks(post())).status == 502
            assert (len(first.requests), second.requests) == (1, [])


@async_test()
async def test_K10_happy_eyeballs_pass_by_an_address_that_never_answers() -> None:
    with black_hole() as port:
        async with Peer(says(OK), host="127.0.0.2", port=port) as peer:
            names = Names(two_test=["127.0.0.1", "127.0.0.2"])
            rules = {"test": rule_file(f"http://two.test:{port}")}
            async with stage(rules=rules, resolver=names, timeouts={"t_connect": 25.0}) as scene:
                started = time.monotonic()
                assert (await scene.asks(post())).status == 200
                assert time.monotonic() - started < 12.0
                assert len(peer.requests) == 1


@async_test()
async def test_K02_case57_three_hundred_streams_of_one_route_all_start_within_a_second() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with stage(Peer(play(Say(head + chunk(b"data: x\n\n"))))) as scene:
        clients = [await scene.client() for _ in range(300)]
        await asyncio.gather(*(client.says(stream()) for client in clients))
        replies = await asyncio.gather(*(client.hears_head() for client in clients))
        for client, reply in zip(clients, replies, strict=True):
            assert b"data: x" in await client.hears_more(reply, b"data: x")
        assert len(scene.peer.lines) == 300


@async_test()
async def test_K02_a_cap_on_connections_makes_the_next_wait_and_then_503() -> None:
    async with stage(limits={"upstream_connections": 1}, timeouts={"t_pool_wait": 0.6}) as scene:
        first, second = await scene.client(), await scene.client()
        await first.says(post())
        heard = await scene.peer.hears()
        await second.says(post())
        reply = await second.hears()
        assert (reply.status, reply.error) == (503, "connection_limit_reached")
        assert reply.get(b"retry-after")
        third = await scene.client()
        await third.says(post())
        await turns()
        await heard.say(OK)
        assert (await first.hears()).status == 200
        await (await scene.peer.hears()).say(OK)
        assert (await third.hears()).status == 200
        assert len(scene.peer.lines) == 1


@pytest.mark.slow
@async_test(loops=False, patience=60)
async def test_K03_case58_a_short_pool_idle_never_meets_an_upstream_that_closes_later() -> None:
    """The battery's 4 s and 5 s, twenty times as fast."""

    async def close_after_idle(heard: Heard) -> None:
        await heard.say(OK)
        count = len(heard.line.requests)
        await asyncio.sleep(0.35)
        if len(heard.line.requests) == count:
            heard.line.fin()

    async with stage(Peer(close_after_idle), timeouts={"t_pool_idle": 0.2}) as scene:

        async def caller(seed: int) -> None:
            chance = random.Random(seed)
            client = await scene.client()
            for _ in range(15):
                await client.says(post())
                assert (await client.hears()).status == 200
                await asyncio.sleep(chance.uniform(0.12, 0.42))

        await asyncio.gather(*(caller(seed) for seed in range(40)))


@async_test()
async def test_K03_a_connection_older_than_the_pool_idle_or_age_is_not_used() -> None:
    for times in ({"t_pool_idle": 0.1}, {"t_pool_age": 0.1}):
        async with stage(Peer(says(OK)), timeouts=times) as scene:
            client = await scene.client()
            for _ in range(2):
                await client.says(get())
                assert (await client.hears()).status == 200
                await asyncio.sleep(0.3)
            assert len(scene.peer.lines) == 2
            assert await scene.peer.lines[0].gone()


@async_test()
async def test_K04_the_most_recently_used_connection_goes_first() -> None:
    async with stage() as scene:
        one, two = await scene.client(), await scene.client()
        await one.says(get())
        first = await scene.peer.hears()
        await two.says(get())
        second = await scene.peer.hears()
        for heard, client in ((second, two), (first, one)):
            await heard.say(OK)
            await client.hears()
        for _ in range(3):
            await one.says(get())
            heard = await scene.peer.hears()
            assert heard.line is first.line
            await heard.say(OK)
            await one.hears()


@async_test()
async def test_K08_K15_a_connection_is_kept_only_after_a_whole_clean_exchange() -> None:
    kept = [OK, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]
    dropped = [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ]
    for raw, idle in [(raw, 1) for raw in kept] + [(raw, 0) for raw in dropped]:
        async with stage(Peer(says(raw))) as scene:
            assert (await scene.asks(get())).status == 200
            await scene.calms_down()
            assert scene.count("upstream_idle") == idle, raw


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"307 Temporary", b"308 Permanent"])
@async_test()
async def test_K11_E06_case59_redirects_are_relayed_and_never_followed(status: bytes) -> None:
    async with Peer(says(OK)) as second:
        target = b"Location: " + second.url.encode() + b"/x"
        async with stage(Peer(says(answer(status, b"go", target)))) as scene:
            reply = await scene.asks(get())
            assert (b"%d" % reply.status, reply.get(b"location")) == (status[:3], second.url.encode() + b"/x")
            await turns()
            assert second.lines == []


@async_test()
async def test_K13_case60_no_cookie_of_one_tenant_goes_with_the_next() -> None:
    async with stage(Peer(says(answer(b"200 OK", b"", b"Set-Cookie: tenant=one; Path=/")))) as scene:
        await scene.asks(get())
        await scene.asks(get())
        assert [heard.all(b"cookie") for heard in scene.peer.requests] == [[], []]


@async_test()
async def test_K10_K09_case61_a_changed_record_moves_new_requests_within_its_ttl_and_the_pool_age() -> None:
    old = Peer(says(answer(b"200 OK", b"old")), host="127.0.0.2")
    new = Peer(says(answer(b"200 OK", b"new")), host="127.0.0.3", port=old.port)
    names = Names(ttl=1.0, move_test=["127.0.0.2"])
    rules = {"test": rule_file(f"http://move.test:{old.port}")}
    async with old, new, stage(rules=rules, resolver=names, timeouts={"t_pool_age": 0.3}) as scene:
        assert (await scene.asks(get())).body == b"old"
        names.table["move.test"] = ["127.0.0.3"]
        assert (await scene.asks(get())).body == b"old"
        await asyncio.sleep(1.4)
        assert (await scene.asks(get())).body == b"new"


@async_test()
async def test_K09_one_lookup_is_in_flight_per_name_and_a_hung_one_delays_no_other() -> None:
    async with Peer(says(OK)) as peer:
        names = Names(good_test=["127.0.0.1"])
        names.hanging.add("bad.test")
        rules = {
            "test": rule_file(f"http://good.test:{peer.port}"),
            "bad": rule_file(f"http://bad.test:{peer.port}", "bad", models="b1"),
        }
        async with stage(rules=rules, resolver=names, timeouts={"t_dns": 20.0}) as scene:
            stuck = [await scene.client() for _ in range(20)]
            for client in stuck:
                await client.says(post(path=b"/bad/v1/chat/completions", model=b"b1"))
            await until(lambda: "bad.test" in names.asked)
            started = time.monotonic()
            assert (await scene.asks(post())).status == 200
            assert time.monotonic() - started < 10.0
            assert names.asked.count("bad.test") == 1


@async_test()
async def test_K09_a_failed_lookup_is_remembered_for_a_moment() -> None:
    names = Names()
    async with stage(rules={"test": rule_file("http://gone.test:1")}, resolver=names) as scene:
        for _ in range(5):
            assert (await scene.asks(get())).error == "dns_error"
        assert names.asked.count("gone.test") <= 2


@async_test()
async def test_K01_rules_that_differ_in_verification_never_share_a_connection(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    async with Peer(says(OK), tls=authority.server("localhost")) as peer:
        url = f"https://localhost:{peer.port}"
        rules = {"test": rule_file(url), "lax": rule_file(url, "lax", extra="insecure: true\n", models="l1")}
        async with stage(rules=rules, ca_file=authority.file) as scene:
            for path, model in ((b"/test", b"m1"), (b"/lax", b"l1"), (b"/test", b"m1"), (b"/lax", b"l1")):
                assert (await scene.asks(post(path=path + b"/v1/chat/completions", model=model))).status == 200
            assert len(peer.lines) == 2
            assert [[heard.get(b"modelname") for heard in line.requests] for line in peer.lines] == [[b"m1", b"m1"], [b"l1", b"l1"]]


@async_test()
async def test_K14_proxies_and_netrc_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login sk-test-netrc password sk-test-netrc\n")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with stage(Peer(says(OK))) as scene:
        assert (await scene.asks(get())).status == 200
        heard = await scene.peer.hears()
        assert b"netrc" not in heard.head.raw
        assert heard.target == b"/v1/models"


@async_test()
async def test_B16_a_connection_is_not_shared_by_two_exchanges_at_a_time() -> None:
    async with stage() as scene:
        clients = [await scene.client() for _ in range(10)]
        for client in clients:
            await client.says(get())
        heard = [await scene.peer.hears() for _ in clients]
        assert len({id(each.line) for each in heard}) == 10
        for number, each in enumerate(heard):
            await each.say(answer(b"200 OK", b"%d" % number))
        assert {(await client.hears()).body for client in clients} == {b"%d" % number for number in range(10)}
        assert all(one.line is not other.line for one, other in pairwise(heard))
