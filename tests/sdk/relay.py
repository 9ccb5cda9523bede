"""A gateway between unified calls and a capture server: every platform of these tests has the server as its upstream."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.sdk.capture import Capture, capturing
from tests.sdk.host import Host, running

SECRETS = {
    "OPENAI_API_KEY": "sk-test-upstream",
    "ZHIPU_API_KEY": "test-id.test-secret-of-zhipu-32-bytes",
    "DASHSCOPE_API_KEY": "sk-test-dashscope",
    # made up by the fact sheets on Kling and on the visual API, for their worked examples
    "KLING_ACCESS_KEY": "ak-example-0123456789abcdef",
    "KLING_SECRET_KEY": "sk-example-fedcba9876543210fedcba98",
    "VOLC_ACCESS_KEY": "AKLTexampleAccessKeyId",
    "VOLC_SECRET_KEY": "ZXhhbXBsZVNlY3JldEtleQ==",
}
PLATFORMS = ("openai", "zhipu", "qwen", "kling", "volc-visual")


@dataclass(frozen=True)
class Relay:
    """`capture` is where everything arrives; `host` is the gateway in front of it."""

    capture: Capture
    host: Host

    @property
    def url(self) -> str:
        return self.host.url


@contextmanager
def relaying() -> Iterator[Relay]:
    with (
        capturing() as capture,
        running(sandbox=False, upstreams=dict.fromkeys(PLATFORMS, capture.url), environ=SECRETS) as host,
    ):
        yield Relay(capture, host)
