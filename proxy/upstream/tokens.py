"""Access tokens of a service account: asked for at its token endpoint, kept, and asked for again before they end.

One request is under way at a time, however many calls wait for it. The endpoint stands in the account's key file, which is the
operator's; nothing that a client sends comes near it.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping

import aiohttp

from proxy.outcomes import ErrorType
from proxy.wire.refusal import Refusal
from translators.signing.canonical import SigningError
from translators.signing.google import AccessToken, assertion, read_answer, token_form

logger = logging.getLogger("dragoman.upstream")

EARLY = 300.0  # seconds before a token's end from which on a new one is asked for
_TIMEOUT = 10.0
_LARGEST = 64 * 1024  # bytes of the endpoint's answer
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


class AccessTokens:
    """The tokens of one account. Raises ValueError when the key file's text is no JSON object."""

    def __init__(self, service_account: str, scope: str, clock: Callable[[], float] = time.time) -> None:
        try:
            account = json.loads(service_account)
        except ValueError:
            account = None
        if not isinstance(account, dict):
            raise ValueError("the service account is no JSON object: give the key file as it was downloaded")
        self._account: Mapping[str, object] = account
        self._scope = scope
        self._clock = clock
        self._token = ""
        self._ends = 0.0
        self._asking: asyncio.Task[None] | None = None

    @classmethod
    def fixed(cls, token: str) -> "AccessTokens":
        """One token that never ends, where nobody is to be asked."""
        made = cls("{}", "")
        made._token, made._ends = token, float("inf")
        return made

    def current(self, now: float) -> str | None:
        """The token at hand; None when it must be waited for. Near its end a new one is asked for meanwhile."""
        if now >= self._ends:
            return None
        if now >= self._ends - EARLY and self._asking is None:
            self._ask()
        return self._token

    async def wait(self) -> str:
        """A token that may be used. Raises Refusal (502, 504)."""
        token = self.current(self._clock())
        if token is None:
            await asyncio.shield(self._asking or self._ask())  # others wait for it too
            token = self.current(self._clock())
        if token is None:
            raise Refusal(
                502, ErrorType.HTTP_PROTOCOL_ERROR, "no_access_token", "The platform's token endpoint gave no access token."
            )
        return token

    def stop(self) -> None:
        """Ask no further."""
        if self._asking is not None:
            self._asking.cancel()

    def _ask(self) -> "asyncio.Task[None]":
        self._asking = asyncio.get_running_loop().create_task(self._fetch())
        return self._asking

    async def _fetch(self) -> None:
        now = self._clock()
        try:
            token = await self._request(now)
        except (SigningError, aiohttp.ClientError, TimeoutError, OSError) as error:
            detail = error if isinstance(error, SigningError) else type(error).__name__
            logger.warning("no access token for a service account: %s", detail)
        else:
            self._token = token.value
            self._ends = now + token.expires_in
        finally:
            self._asking = None

    async def _request(self, now: float) -> AccessToken:
        signed = assertion(self._account, self._scope, now)
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.post(
                str(self._account["token_uri"]), data=token_form(signed), headers=_FORM, allow_redirects=False
            ) as response,
        ):
            return read_answer(response.status, await response.content.read(_LARGEST))
