"""Finished work on its way from where the platform has put it to the client: status, ranges and length kept, nothing held.

What reaches the client are the file's own fields. Its server's (cookies, policies, alternative services) are not the gateway's to
say. Neither side is read further than the other takes.
"""

from collections.abc import Callable
from urllib.parse import urljoin

from proxy.fetch.fetcher import REDIRECTS, Fetcher, Field
from proxy.fetch.fetcher import Download as Source
from proxy.fetch.targets import FetchError, FetchOutcome, FetchPolicy
from proxy.orchestrate.interface import Sink
from proxy.outcomes import ErrorType
from proxy.wire.refusal import Refusal
from translators.model import Upstream
from translators.runtime.steps import RANGE_HEADERS, Call, Download, Headers, Incoming

GONE = frozenset((403, 404, 410))
_RELAYED = frozenset((200, 206, 416))
_UNTYPED = frozenset(("", "application/octet-stream", "binary/octet-stream"))
_KEPT = frozenset(
    (
        b"content-length", b"content-range", b"accept-ranges", b"etag", b"last-modified", b"content-encoding",
        b"content-disposition", b"content-language", b"content-md5", b"digest", b"repr-digest", b"content-digest",
    )
)  # fmt: skip


class GoneError(FetchError):
    """The file is not where it was said to be (403, 404, 410): another place may have to be asked for."""

    def __init__(self) -> None:
        super().__init__(FetchOutcome.FAILED, "The finished work is not there any more: platforms keep it for a limited time only.")
        self.status, self.error, self.code = 404, ErrorType.DESTINATION_NOT_FOUND, "content_gone"


class Downloader:
    """Streams files. `count` hears of the bytes that went on to the client."""

    def __init__(self, fetcher: Fetcher, count: Callable[[int], None]) -> None:
        self._fetcher = fetcher
        self._count = count

    async def stream(self, download: Download, policy: FetchPolicy, incoming: Incoming, sink: Sink) -> None:
        """From the head to `end` or `cut`. Raises FetchError (GoneError) as long as nothing has gone to the client."""
        assert isinstance(download.source, str)  # calls go over the pool
        asked = [(name, incoming.headers[name]) for name in RANGE_HEADERS if name in incoming.headers]
        own = {name.lower() for name, _ in download.headers}
        fields: list[Field] = [*download.headers, *(field for field in asked if field[0] not in own)]
        begun = False
        try:
            # A signature of the URL may hold for GET only, so HEAD is answered from the head of a GET.
            async with self._fetcher.open(download.source, policy, fields) as source:
                self._check(source)
                begun = True
                sink.head(source.status, kept_fields(source, download.content_type))
                if incoming.method != "HEAD":
                    await self._copy(source, sink)
        except FetchError:
            if not begun:
                raise
            sink.cut()
        else:
            sink.end()

    @staticmethod
    def _check(source: Source) -> None:
        """Raises FetchError for an answer that is not the file."""
        if source.status in GONE:
            raise GoneError
        if source.status not in _RELAYED:
            text = "The server that holds the finished work does not give it out at the moment; ask for it again."
            raise FetchError(FetchOutcome.FAILED, text)

    async def _copy(self, source: Source, sink: Sink) -> None:
        async for chunk in source:
            sink.write(chunk)
            self._count(len(chunk))
            await sink.drained()  # until then nothing more is read


def kept_fields(source: Source, content_type: str | None) -> Headers:
    """The file's fields as they came, but for a type that says nothing where the rule knows one."""
    fields: list[tuple[str, str]] = []
    for name, value in source.fields:
        if name.lower() in _KEPT:
            try:
                fields.append((name.decode("ascii"), value.decode("utf-8")))
            except UnicodeDecodeError:
                continue  # a file name in some other coding: nobody could read it
    said = source.header("Content-Type") or ""
    if source.status < 400 and source.media_type in _UNTYPED and content_type is not None:
        said = content_type
    return (*fields, ("Content-Type", said)) if said else tuple(fields)


def refusal_of(error: FetchError) -> Refusal:
    """A URL that was not read, as a local answer."""
    return Refusal(error.status, error.error, error.code, error.message)


def redirected(download: Download, upstream: Upstream, status: int, location: str) -> Download | None:
    """Where the platform's own answer to a download sends on to, without its credential; None when it does not.

    The pool follows no redirect (rule K11): what stands elsewhere is read as any other URL that the platform gives.
    """
    if status not in REDIRECTS or not isinstance(download.source, Call):
        return None
    base = f"{upstream.scheme}://{upstream.authority}{upstream.base}{download.source.target}"
    try:
        url = urljoin(base, location)
    except ValueError:
        return None
    return Download(url, content_type=download.content_type, again=download.again)
