"""Fetching over real sockets: servers on this machine, names that a test makes up (R03 to R05)."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from proxy.fetch import fetcher as module
from proxy.fetch.fetcher import Download, Fetched, Fetcher
from proxy.fetch.targets import FetchError, FetchOutcome, FetchPolicy
from tests.fetch.stage import PUBLIC, PUBLIC_V6, Counter, Names, Server, answer, fetcher, local, redirect
from tests.harness.certificates import Authority
from tests.harness.runner import async_test

PNG = b"\x89PNG not really a picture"


def trusting(*servers: Server, scheme: str = "http", host: str = "files.test", **more: object) -> FetchPolicy:
    origins = frozenset((scheme, host, server.port) for server in servers)
    return FetchPolicy(hosts=("*",), trusted_origins=origins, **more)  # type: ignore[arg-type]


async def failure(call: "asyncio.Future[object] | object") -> FetchError:
    with pytest.raises(FetchError) as raised:
        await call  # type: ignore[misc]
    return raised.value


async def drain(download: Download) -> bytes:
    return b"".join([chunk async for chunk in download])


async def download_all(client: Fetcher, url: str, policy: FetchPolicy) -> bytes:
    async with client.open(url, policy) as download:
        return await drain(download)


async def collect(into: bytearray, url: str, policy: FetchPolicy) -> None:
    async with fetcher(local("files.test")).open(url, policy) as download:
        async for chunk in download:
            into += chunk


@pytest.fixture
def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test when a connection is as much as prepared."""

    def never(*_: object, **__: object) -> None:
        pytest.fail("a connection was prepared")

    monkeypatch.setattr("aiohttp.TCPConnector", never)
    monkeypatch.setattr("aiohttp.ClientSession", never)


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that sockets are made for; nothing beyond this machine is connected to."""
    seen: list[str] = []
    original = module._only_to

    def watching(addresses: list[object]) -> Callable[[tuple[object, ...]], object]:
        make = original(addresses)  # type: ignore[arg-type]

        def watched(info: tuple[object, ...]) -> object:
            host = str(info[4][0])  # type: ignore[index]
            seen.append(host)
            if host != "127.0.0.1":
                raise OSError("the tests stay on this machine")
            return make(info)

        return watched

    monkeypatch.setattr(module, "_only_to", watching)
    return seen


# --- what is fetched ------------------------------------------------------------------------------------------------------------


@async_test()
async def test_a_file_of_a_trusted_origin_is_fetched_whole() -> None:
    counter = Counter()
    async with Server(lambda _: answer(PNG, media_type="Image/PNG; charset=binary")).running() as server:
        client = fetcher(local("files.test"), counter)
        url = f"http://files.test:{server.port}/a%2Fb.png?X-Sig=a%2bB+/~"
        fetched = await client.fetch(url, trusting(server, media_types=("image/*",)))
    assert fetched == Fetched(PNG, "image/png", url)
    assert server.targets() == ["/a%2Fb.png?X-Sig=a%2bB+/~"]
    assert counter == [FetchOutcome.OK]


@async_test()
async def test_R04_nothing_is_sent_that_says_who_asks() -> None:
    async with Server(lambda _: answer(PNG)).running() as server:
        await fetcher(local("files.test")).fetch(
            f"http://files.test:{server.port}/", trusting(server, media_types=("image/*", "video/mp4"))
        )
    assert server.fields() == {
        "host": f"files.test:{server.port}",
        "accept": "image/*, video/mp4",
        "accept-encoding": "identity",
        "user-agent": "dragoman",
        "connection": "close",
    }


@async_test()
async def test_R04_the_environment_gives_no_proxy_and_no_credential(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine files.test login user password sk-test-netrc\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with Server(lambda _: answer(PNG)).running() as server:
        await fetcher(local("files.test")).fetch(f"http://files.test:{server.port}/", trusting(server))
    assert "authorization" not in server.fields()


@async_test()
async def test_R04_cookies_of_a_redirect_are_not_sent_back() -> None:
    async with Server(lambda target: answer(PNG) if target == "/end" else redirect("/end")).running() as server:
        await fetcher(local("files.test")).fetch(f"http://files.test:{server.port}/", trusting(server))
    assert server.targets() == ["/", "/end"]
    assert "cookie" not in server.fields()


@async_test()
async def test_R03_tls_is_verified_for_the_name_that_was_asked_for(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    context = ssl.create_default_context(cafile=str(authority.file))
    server = Server(lambda _: answer(PNG))
    async with server.running(authority.server("files.test")):
        client = fetcher(local("files.test", "other.test"), context=context)
        fetched = await client.fetch(f"https://files.test:{server.port}/", trusting(server, scheme="https"))
        error = await failure(
            client.fetch(f"https://other.test:{server.port}/", trusting(server, scheme="https", host="other.test"))
        )
    assert fetched.data == PNG
    assert server.sni == ["files.test", "other.test"]
    assert error.outcome is FetchOutcome.FAILED
    assert server.targets() == ["/"]


# --- addresses ------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_connection")
@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["fe80::1"],
        [PUBLIC, "10.0.0.1"],
        [PUBLIC_V6, PUBLIC, "::1"],
    ],
)
@async_test()
async def test_R03_case_87_a_name_with_one_address_that_is_not_public_is_refused_before_connecting(answers: list[str]) -> None:
    counter = Counter()
    client = fetcher({"files.test": [answers]}, counter)
    policy = FetchPolicy(hosts=("files.test",))
    error = await failure(client.fetch("https://files.test/", policy))
    assert (error.status, error.code, error.outcome) == (400, "fetch_refused", FetchOutcome.REFUSED)
    assert not any(address in error.message for address in answers)
    assert await failure(download_all(client, "https://files.test/", policy))
    assert counter == [FetchOutcome.REFUSED] * 2


@pytest.mark.usefixtures("no_connection")
@pytest.mark.parametrize("host", ["127.1", "2130706433", "[::ffff:127.0.0.1]", "169.254.169.254", "0x7f.1", "017700000001"])
@async_test()
async def test_R02_case_87_addresses_in_any_spelling_are_refused_before_a_lookup(host: str) -> None:
    names = Names({})
    error = await failure(fetcher(names).fetch(f"http://{host}/", FetchPolicy(hosts=("*",))))
    assert error.status == 400
    assert names.asked == []


@async_test()
async def test_R03_case_87_rebinding_finds_no_second_lookup_to_answer(attempts: list[str]) -> None:
    names = Names({"rebind.test": [[PUBLIC], ["127.0.0.1"]]})
    client = fetcher(names)
    policy = FetchPolicy(hosts=("rebind.test",))
    error = await failure(client.fetch("http://rebind.test/", policy))
    assert error.outcome is FetchOutcome.FAILED
    assert names.asked == ["rebind.test"]
    assert set(attempts) == {PUBLIC}  # the address that was checked, and no other
    error = await failure(client.fetch("http://rebind.test/", policy))
    assert error.outcome is FetchOutcome.REFUSED  # the second answer is private
    assert set(attempts) == {PUBLIC}


@async_test()
async def test_R03_every_public_address_of_a_name_may_be_tried(attempts: list[str]) -> None:
    await failure(fetcher({"files.test": [[PUBLIC, PUBLIC_V6]]}).fetch("http://files.test/", FetchPolicy(hosts=("*",))))
    assert set(attempts) == {PUBLIC, PUBLIC_V6}


@async_test()
async def test_R03_case_87_a_redirect_to_a_private_address_is_refused_before_connecting(attempts: list[str]) -> None:
    places = [
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/",
        "http://inside.test/",
        "http://127.1/",
        "http://[::1]/",
        "//10.0.0.1/",
    ]
    async with Server(lambda target: redirect(places[int(target[1:])])).running() as server:
        client = fetcher({**local("files.test"), "inside.test": [["10.0.0.1"]]})
        for index in range(len(places)):
            error = await failure(client.fetch(f"http://files.test:{server.port}/{index}", trusting(server)))
            assert error.outcome is FetchOutcome.REFUSED
    assert len(server.requests) == len(attempts) == len(places)
    assert set(attempts) == {"127.0.0.1"}


@async_test()
async def test_R03_a_name_is_resolved_and_checked_anew_after_a_redirect(attempts: list[str]) -> None:
    names = Names({**local("files.test"), "rebind.test": [[PUBLIC], ["10.0.0.1"]]})
    async with Server(lambda _: redirect("http://rebind.test/")).running() as server:
        client = fetcher(names)
        url = f"http://files.test:{server.port}/"
        assert (await failure(client.fetch(url, trusting(server)))).outcome is FetchOutcome.FAILED
        assert (await failure(client.fetch(url, trusting(server)))).outcome is FetchOutcome.REFUSED
    assert set(attempts) == {"127.0.0.1", PUBLIC}


def test_R03_no_socket_is_made_for_an_address_that_was_not_checked() -> None:
    make = module._only_to([ip_address(PUBLIC_V6)])
    with pytest.raises(OSError, match="not checked"):
        make((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80)))
    make((socket.AF_INET6, socket.SOCK_STREAM, 0, "", (PUBLIC_V6, 80, 0, 0))).close()


# --- redirects ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
@async_test()
async def test_R03_three_redirects_are_followed_and_a_fourth_is_refused(status: str) -> None:
    def step(target: str) -> bytes:
        left = int(target[1:])
        return redirect(f"/{left - 1}", status) if left else answer(PNG)

    async with Server(step).running() as server:
        client = fetcher(local("files.test"))
        base = f"http://files.test:{server.port}"
        assert (await client.fetch(f"{base}/3", trusting(server))).url == f"{base}/0"
        error = await failure(client.fetch(f"{base}/4", trusting(server)))
    assert error.message == "The URL redirects more than 3 times."
    assert server.targets() == ["/3", "/2", "/1", "/0", "/4", "/3", "/2", "/1"]


@async_test()
async def test_R03_no_redirect_leads_from_https_to_http(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    server = Server(lambda _: redirect("http://files.test/"))
    async with server.running(authority.server("files.test")):
        client = fetcher(local("files.test"), context=ssl.create_default_context(cafile=str(authority.file)))
        error = await failure(client.fetch(f"https://files.test:{server.port}/", trusting(server, scheme="https")))
    assert error.message == "The URL redirects from https to http."


@async_test()
async def test_N02_a_credential_is_not_sent_to_another_origin_and_stays_away() -> None:
    first, second = Server(lambda target: redirect(there) if target == "/a" else answer(PNG)), Server(lambda _: redirect(back))
    given = [
        ("Authorization", "Bearer sk-test-own"),
        ("ModelName", "m"),
        ("Range", "bytes=0-3"),
        ("If-Range", '"tag"'),
        ("X-Other", "1"),
    ]
    async with first.running(), second.running():
        there = f"http://files.test:{second.port}/b"
        back = f"http://files.test:{first.port}/c"
        policy = trusting(first, second)
        async with fetcher(local("files.test")).open(f"http://files.test:{first.port}/a", policy, given) as download:
            assert await drain(download) == PNG
    for name, value in given:
        assert first.fields(0)[name.lower()] == value
    for fields in (second.fields(0), first.fields(1)):
        assert fields["range"] == "bytes=0-3"
        assert fields["if-range"] == '"tag"'
        assert {"authorization", "modelname", "x-other"}.isdisjoint(fields)


@async_test()
async def test_a_credential_stays_on_a_redirect_within_the_origin() -> None:
    async with Server(lambda target: redirect("/b") if target == "/a" else answer(PNG)).running() as server:
        given = [("Authorization", "Bearer sk-test-own")]
        async with fetcher(local("files.test")).open(f"http://files.test:{server.port}/a", trusting(server), given) as download:
            assert download.url.endswith("/b")
    assert [server.fields(index)["authorization"] for index in (0, 1)] == ["Bearer sk-test-own"] * 2


# --- limits ---------------------------------------------------------------------------------------------------------------------


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n" + body + end


@pytest.mark.parametrize("framed", [answer, lambda body: chunked(body[:5], body[5:])])
@async_test()
async def test_R04_a_file_may_have_the_limit_s_size_and_not_one_byte_more(framed: Callable[[bytes], bytes]) -> None:
    counter = Counter()
    async with Server(lambda target: framed(bytes(int(target[1:])))).running() as server:
        client = fetcher(local("files.test"), counter)
        policy = trusting(server, max_bytes=10)
        base = f"http://files.test:{server.port}"
        assert (await client.fetch(f"{base}/10", policy)).data == bytes(10)
        assert await download_all(client, f"{base}/10", policy) == bytes(10)
        errors = [await failure(client.fetch(f"{base}/11", policy)), await failure(download_all(client, f"{base}/11", policy))]
    assert [(error.status, error.code) for error in errors] == [(413, "fetch_too_large")] * 2
    assert counter == [FetchOutcome.OK] * 2 + [FetchOutcome.TOO_LARGE] * 2


@async_test()
async def test_R04_another_media_type_is_refused() -> None:
    async with Server(lambda _: answer(b"<html>", media_type="text/html")).running() as server:
        policy = trusting(server, media_types=("image/*",))
        error = await failure(fetcher(local("files.test")).fetch(f"http://files.test:{server.port}/", policy))
    assert (error.status, error.code) == (400, "fetch_media_type")
    assert "image/*" in error.message


@async_test()
async def test_R04_a_coded_answer_is_not_decoded_into_memory() -> None:
    bomb = gzip.compress(bytes(1_000_000))
    async with Server(lambda _: answer(bomb, "Content-Encoding: gzip")).running() as server:
        client = fetcher(local("files.test"))
        url = f"http://files.test:{server.port}/"
        error = await failure(client.fetch(url, trusting(server)))
        async with client.open(url, trusting(server)) as download:
            assert download.header("content-encoding") == "gzip"
            assert await drain(download) == bomb
    assert error.outcome is FetchOutcome.FAILED


@async_test()
async def test_R04_silence_is_ended_by_the_clock_in_every_phase() -> None:
    counter = Counter()
    half = answer(PNG)[:-1]
    async with Server(lambda target: half if target == "/half" else None).running() as server:
        client = fetcher(local("files.test"), counter)
        url = f"http://files.test:{server.port}/"
        errors = [
            await failure(client.fetch(url, trusting(server, timeout=0.05))),
            await failure(client.fetch(url, trusting(server, idle=0.05))),
            await failure(download_all(client, url, trusting(server, timeout=0.05))),
        ]
    assert {(error.status, error.code, error.message) for error in errors} == {
        (504, "fetch_timeout", "The URL could not be fetched in time.")
    }
    assert counter == [FetchOutcome.TIMEOUT] * 3


class Stalling(Server):
    """Sends the head and the first bytes, then nothing until the client leaves."""

    async def _respond(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(PNG)[:-1])
        await reader.read()


@pytest.mark.parametrize("limit", ["idle", "download_timeout"])
@async_test()
async def test_R04_a_download_that_stops_in_the_middle_ends_with_a_timeout(limit: str) -> None:
    async with Stalling(lambda _: None).running() as server:
        policy = trusting(server, **{limit: 0.3})
        received = bytearray()
        error = await failure(collect(received, f"http://files.test:{server.port}/", policy))
    assert received == PNG[:-1]
    assert error.status == 504


# --- what the client learns -----------------------------------------------------------------------------------------------------


@async_test()
async def test_R05_closed_open_and_broken_look_alike() -> None:
    answers = {
        "/closed-at-once": b"",
        "/not-http": b"SSH-2.0-OpenSSH_9.6\r\n",
        "/short": answer(PNG)[:-1],
        "/cut-chunks": chunked(PNG, end=b""),
        "/missing": answer(b"", status="404 Not Found"),
        "/broken": answer(b"", status="500 Oops"),
        "/nowhere": answer(b"", status="302 Found"),
    }
    async with Server(answers.__getitem__).running() as server, Server(lambda _: b"").running() as gone:
        client = fetcher(local("files.test"))
        errors = [await failure(client.fetch(f"http://files.test:{server.port}{path}", trusting(server))) for path in answers]
    errors.append(await failure(client.fetch(f"http://files.test:{gone.port}/", trusting(gone))))  # refused: it has ended
    errors.append(await failure(client.fetch("http://unknown.test/", FetchPolicy(hosts=("*",)))))
    assert {(error.status, error.code, error.error, error.message) for error in errors} == {
        (
            502,
            "fetch_failed",
            "http_response_incomplete",
            "The URL could not be fetched. It must be reachable and answer with status 200.",
        )
    }
    assert len(errors) == 9


@async_test()
async def test_N04_no_error_holds_the_url_or_a_cause_that_does() -> None:
    async with Server(lambda _: b"nonsense\r\n\r\n").running() as server:
        error = await failure(
            fetcher(local("files.test")).fetch(f"http://files.test:{server.port}/?sig=sk-test-signed", trusting(server))
        )
    assert "sk-test-signed" not in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__


# --- downloads ------------------------------------------------------------------------------------------------------------------


@async_test()
async def test_a_download_shows_status_fields_and_bytes_as_they_came() -> None:
    async with Server(
        lambda _: answer(b"cd", "Content-Range: bytes 2-3/9", "X-A: 1", "x-a: 2", status="206 Part")
    ).running() as server:
        client = fetcher(local("files.test"))
        url = f"http://files.test:{server.port}/v.mp4"
        async with client.open(url, trusting(server), [("Range", "bytes=2-3")]) as download:
            assert (download.status, download.media_type, download.url) == (206, "image/png", url)
            assert download.header("content-range") == "bytes 2-3/9"
            assert download.fields == (
                (b"Content-Type", b"image/png"),
                (b"Content-Length", b"2"),
                (b"Content-Range", b"bytes 2-3/9"),
                (b"X-A", b"1"),
                (b"x-a", b"2"),
            )
            assert await drain(download) == b"cd"


@async_test()
async def test_R04_a_download_sends_the_fields_it_was_given_and_no_wish_of_its_own() -> None:
    async with Server(lambda _: answer(PNG)).running() as server:
        given = [("Accept-Encoding", "gzip"), ("user-agent", "own")]
        client = fetcher(local("files.test"))
        async with client.open(f"http://files.test:{server.port}/", trusting(server), given) as download:
            assert await drain(download) == PNG
    assert server.fields() == {
        "host": f"files.test:{server.port}",
        "accept-encoding": "gzip",
        "user-agent": "own",
        "connection": "close",
    }


@pytest.mark.parametrize("status", ["304 Not Modified", "404 Not Found", "416 Range", "500 Oops"])
@async_test()
async def test_a_download_leaves_the_status_to_its_caller(status: str) -> None:
    async with Server(lambda _: answer(b"", status=status)).running() as server:
        client = fetcher(local("files.test"))
        async with client.open(f"http://files.test:{server.port}/", trusting(server)) as download:
            assert download.status == int(status[:3])


@async_test()
async def test_a_head_request_has_no_body() -> None:
    head = answer(PNG).partition(PNG)[0]
    async with Server(lambda _: head).running() as server:
        client = fetcher(local("files.test"))
        async with client.open(f"http://files.test:{server.port}/", trusting(server), method="HEAD") as download:
            assert await drain(download) == b""
            assert download.header("Content-Length") == str(len(PNG))
    assert server.requests[0].startswith(b"HEAD / ")


@async_test()
async def test_a_download_without_limit_is_read_to_its_end_in_pieces() -> None:
    whole = bytes(range(256)) * 8192
    async with Server(lambda _: answer(whole)).running() as server:
        policy = trusting(server, max_bytes=0, download_timeout=0.0)
        async with fetcher(local("files.test")).open(f"http://files.test:{server.port}/", policy) as download:
            sizes = [len(chunk) async for chunk in download]
    assert sum(sizes) == len(whole)
    assert max(sizes) < len(whole) / 2


@async_test()
async def test_a_download_that_is_left_closes_its_connection_and_counts_as_abandoned_only_when_it_failed() -> None:
    counter = Counter()
    async with Stalling(lambda _: None).running() as server:  # leaves when every client has
        client = fetcher(local("files.test"), counter)
        url = f"http://files.test:{server.port}/"
        async with client.open(url, trusting(server)) as download:
            assert download.status == 200
        with pytest.raises(ConnectionResetError):
            async with client.open(url, trusting(server)):
                raise ConnectionResetError("the client of the proxy left")
    assert counter == [FetchOutcome.OK, FetchOutcome.ABANDONED]


@async_test()
async def test_a_cancelled_fetch_is_counted_and_closes_its_connection() -> None:
    counter = Counter()
    asked = asyncio.Event()

    def silent(_: str) -> None:
        asked.set()

    async with Server(silent).running() as server:
        task = asyncio.ensure_future(
            fetcher(local("files.test"), counter).fetch(f"http://files.test:{server.port}/", trusting(server))
        )
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert counter == [FetchOutcome.ABANDONED]


@async_test()
async def test_R04_a_fetch_into_memory_needs_a_limit() -> None:
    with pytest.raises(ValueError, match="max_bytes"):
        await fetcher().fetch("http://files.test/", FetchPolicy(hosts=("*",), max_bytes=0))


@async_test()
async def test_a_field_value_that_would_break_the_request_is_not_sent() -> None:
    async with Server(lambda _: answer(PNG)).running() as server:
        client = fetcher(local("files.test"))
        with pytest.raises(FetchError):
            async with client.open(f"http://files.test:{server.port}/", trusting(server), [("Range", "bytes=0-1\r\nX: y")]):
                pass
    assert server.requests == []
