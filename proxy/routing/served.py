"""A platform as it is served: its rule with secrets, pool and prepared header lines."""

from collections.abc import Mapping

from proxy.outcomes import ErrorType
from proxy.upstream.pool import Pool
from proxy.wire.fields import field_line
from proxy.wire.refusal import Refusal
from translators.model import AuthKind, ModelRule, Platform, Upstream
from translators.models import ModelTable
from translators.paths import PathTable


class Served:
    """One platform of a table. Without a pool it is switched off, because secrets are missing; `missing` names them."""

    def __init__(
        self,
        platform: Platform,
        upstream: Upstream,
        pool: Pool | None,
        secrets: Mapping[str, str],
        *,
        body_limit: int,
        missing: tuple[str, ...] = (),
    ) -> None:
        self.platform = platform
        self.upstream = upstream
        self.pool = pool
        self.missing = missing
        self.body_limit = body_limit
        self.base = upstream.base.encode("ascii")
        self.authority = upstream.authority.encode("ascii")
        self.routes = PathTable.build((route.method, route.path, route) for route in platform.routes)
        self.models: ModelTable[ModelRule] = ModelTable[ModelRule].of(platform.models)
        self.needs_model = any(header.value.needs_model for header in platform.headers)
        self._secrets = secrets
        self.replaced = self._replaced()

    def _replaced(self) -> frozenset[bytes]:
        """Lower-case names of the fields that only the rule sets, and of further client credentials."""
        names = {header.name for header in self.platform.headers} | set(self.platform.auth.client_headers)
        if self.platform.auth.header is not None:
            names.add(self.platform.auth.header)
        return frozenset(name.lower().encode("ascii") for name in names)

    def lines(self, model: str | None) -> list[bytes]:
        """The field lines the rule adds, for this model. Raises Refusal (400) when the model cannot stand in a header."""
        auth = self.platform.auth
        lines: list[bytes] = []
        if auth.header is not None and auth.value is not None and auth.kind is not AuthKind.PASS:
            value = auth.value.render(self._secrets, model)
            if value is not None:
                lines.append(field_line(auth.header.encode("ascii"), (auth.prefix + value).encode("utf-8")))
        for header in self.platform.headers:
            value = header.value.render(self._secrets, model)
            if value is not None:
                lines.append(field_line(header.name.encode("ascii"), _field_value(value)))
        return lines

    def refusal(self) -> Refusal:
        """What a client hears whose platform is switched off."""
        names = ", ".join(self.missing)
        return Refusal(
            503,
            ErrorType.PROXY_CONFIGURATION_ERROR,
            "platform_off",
            f"The platform '{self.platform.name}' is switched off here: set {names} and start the gateway again.",
        )


def _field_value(text: str) -> bytes:
    """Text that came from a request, for a header field (rule O06)."""
    if len(text) > 8192 or any(ord(char) < 0x20 or ord(char) == 0x7F for char in text):
        raise Refusal(
            400, ErrorType.HTTP_REQUEST_ERROR, "bad_model", "The model's name holds characters that cannot stand in a header field."
        )
    return text.encode("utf-8", "surrogateescape")
