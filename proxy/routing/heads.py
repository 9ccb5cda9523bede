"""The upstream's head of a request: which of the client's lines go along, what the platform's rule adds (rule groups C and D).

Made for one client's head and one platform; who asks for it, and how often, is decided in `table` and `calls`.
"""

from proxy.routing.gate import credentials
from proxy.routing.served import Served
from proxy.wire.fields import NOTHING, field_line, forwarded_request_lines
from proxy.wire.head import RequestHead
from proxy.wire.names import CREDENTIAL_PARAMETERS
from proxy.wire.target import without_parameters
from translators.model import AuthKind
from translators.runtime.translated import EXPLAIN

_FOR_US = frozenset((EXPLAIN.encode("ascii"),))


class HeadMaker:
    """See the module. `licence` is the credential that the client has presented to us."""

    __slots__ = ("_head", "_kept", "_licence", "_own", "_via", "served")

    def __init__(self, head: RequestHead, served: Served, licence: bytes | None, via: bytes | None) -> None:
        self.served = served
        self._head = head
        self._licence = licence
        self._via = via
        self._kept: frozenset[bytes] = frozenset()
        self._own: list[bytes] = []  # the client's credential in the platform's field
        auth = served.platform.auth
        if auth.kind is AuthKind.PASS:
            if auth.header is None:
                self._kept = frozenset(name for name, _ in credentials(head)) - self._licensed()
            else:
                self._own += self._passed_credential(auth.header, auth.prefix)

    @property
    def query(self) -> bytes:
        """The client's query with its `?`, without the parameters that hold a client's credential (rules C08, N04)."""
        query = self._head.target.query
        if query is None:
            return b""
        if b"?key" in self._kept or not query:
            return b"?" + query
        kept = without_parameters(query, CREDENTIAL_PARAMETERS)
        return b"?" + kept if kept else b""

    def lines(self, model: str | None, *, replaced: frozenset[bytes] = NOTHING, forward: bool = True) -> list[bytes]:
        """All field lines but Host and framing, for this model. Raises Refusal (400).

        `replaced` are lower-case names that are set elsewhere. Without `forward` nothing of the client's goes along but the
        credential it passes.
        """
        head, served = self._head, self.served
        if forward:
            left_out = served.replaced | self._gateway_model() | replaced | _FOR_US
            lines = forwarded_request_lines(head, left_out, kept=self._kept, via=self._via)
        else:
            lines = [field_line(name, value) for name, value in head.fields if name.lower() in self._kept]
            lines.append(b"Accept-Encoding: identity\r\n")
            if self._via is not None:
                lines.append(field_line(b"Via", b"1.1 " + self._via))
        lines += served.lines(model, replaced)
        lines += self._own
        if head.method == "OPTIONS":
            lines = [_one_hop_less(line) for line in lines]
        return lines

    def _licensed(self) -> frozenset[bytes]:
        """The fields in which the licence stands: it is for us alone, wherever the client repeats it (rule N02)."""
        return frozenset(name for name, value in credentials(self._head) if value == self._licence)

    def _gateway_model(self) -> frozenset[bytes]:
        """A ModelName that names one of our models is for us, not for the platform (rule D03)."""
        names = self._head.values(b"modelname")
        ours = any(self.served.models.match(name.decode("latin-1")) is not None for name in names)
        return frozenset((b"modelname",)) if ours else NOTHING

    def _passed_credential(self, header: str, prefix: str) -> list[bytes]:
        for name, value in credentials(self._head):
            if name not in self._licensed():
                return [field_line(header.encode("ascii"), prefix.encode("ascii") + value)]
        return []


def _one_hop_less(line: bytes) -> bytes:
    name, _, value = line.partition(b":")
    count = value.strip()
    if name.lower() == b"max-forwards" and count.isdigit():
        return field_line(name, b"%d" % max(int(count) - 1, 0))
    return line
