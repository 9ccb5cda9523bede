"""A carried exchange: the request goes up as it comes, framing and all.

What must wait for a model's name or for a connection is held, within bounds; everything else is written in the callback it came in.
Where the model leads to a route that a rule handles, the exchange hands what it has over to one of that kind.
"""

from time import perf_counter

from proxy.carry.exchange import Exchange
from proxy.carry.upload import PEEK, Upload, too_large, twice
from proxy.outcomes import Phase
from proxy.routing.plan import Dispatch, Plan
from proxy.upstream.connection import UpstreamConnection
from proxy.wire.model import DuplicateModelError, peek_json

_WAIT = Phase.WAIT  # looked up on its class, it costs 50 ns


class CarriedExchange(Exchange):
    """See the module."""

    __slots__ = ()

    _upload: Upload | None

    def start(self, length: int, body: bytes) -> None:
        plan = self.plan
        dispatch = self.dispatch
        if length >= 0 and len(body) >= length and (dispatch is not None or length <= PEEK):
            if len(body) > length:
                self.client.queue(body[length:])
                body = body[:length]
            self._bytes_in = length
            if dispatch is None:
                self.dispatch = dispatch = self._peek(body)
                if dispatch.work is not None:
                    self.client.hand_over(self, None, body)
                    return
            self._check_size(length)
            self._connect(body)
            return
        self._start_upload(plan, length, body)

    def _check_size(self, length: int) -> None:
        limit = self._body_limit()
        if limit and length > limit:
            raise too_large()

    def _body_limit(self) -> int:
        return self.dispatch.served.body_limit if self.dispatch is not None else self.client.worker.limits.body

    def _peek(self, body: bytes) -> Dispatch:
        """The dispatch of a body that is here as a whole."""
        plan = self.plan
        if plan.may_be_json:
            try:
                return plan.for_model(peek_json(body))
            except DuplicateModelError:
                if plan.needs_model:
                    raise twice() from None
        if not plan.needs_model:
            return plan.for_model(None)
        upload = Upload(plan, len(body), self.client.worker.limits, 0, self.client.worker.hold)
        framed, _ = upload.feed(body)
        _, model = upload.find_model(framed)
        return plan.for_model(model)

    def _start_upload(self, plan: Plan, length: int, body: bytes) -> None:
        if length > 0:
            self._check_size(length)
        worker = self.client.worker
        upload = self._upload = Upload(plan, length, worker.limits, self._body_limit(), worker.hold)
        if plan.expect_continue and not body:
            self.client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        framed, rest = upload.feed(body) if body else (b"", b"")
        if rest:
            self.client.queue(rest)
        self._bytes_in = len(framed)
        if self.dispatch is None and not plan.needs_model:
            self.dispatch = plan.for_model(None)
        self._take(upload, framed)
        if upload.left:
            self.client.upload_began()

    def request_data(self, data: bytes) -> None:
        upload = self._upload
        assert upload is not None
        framed, rest = upload.feed(data)
        if rest:
            self.client.queue(rest)
        self._bytes_in += len(framed)
        self._take(upload, framed)
        if not upload.left:
            self.client.upload_ended()
            self._name_model(upload)

    def _name_model(self, upload: Upload) -> None:
        """A small body has passed as a whole: its model is known now, for the metrics and the log."""
        body = upload.seen
        if body is None or self.dispatch is None or self.plan.needs_model:
            return
        try:
            self.dispatch = self.plan.for_model(peek_json(body))
        except DuplicateModelError:
            pass  # nothing is decided by it, so it is not ours to refuse

    def _take(self, upload: Upload, framed: bytes) -> None:
        """Forward body bytes, or keep them for the connection or the model that is still missing."""
        if self.dispatch is None:
            known, model = upload.find_model(framed)
            if not known:
                upload.hold(framed)
                return
            self.dispatch = dispatch = self.plan.for_model(model)
            if dispatch.work is not None:
                self.client.hand_over(self, upload, upload.release() + framed)
                return
            self._connect(framed)
        elif self._discard:
            return  # the answer is already on its way (rule F10)
        elif self.upstream is not None:
            self._forward(self.upstream, framed)
        elif self._opening is not None:
            upload.hold(framed)
        else:
            self._connect(framed)

    def _connect(self, framed: bytes, *, fresh: bool = False) -> None:
        dispatch = self.dispatch
        assert dispatch is not None
        if not self.counted:
            self.counted = True
            dispatch.metrics.in_flight.inc()
        got = dispatch.pool.acquire(self, fresh=fresh)
        if isinstance(got, UpstreamConnection):
            self._send(got, framed)
            return
        self._opening = got
        upload = self._upload
        if upload is None:
            worker = self.client.worker
            upload = self._upload = Upload(self.plan, 0, worker.limits, 0, worker.hold)
        upload.hold(framed)
        if upload.left:
            self.client.pause_reading()

    def _send_again(self) -> None:
        self._connect(b"", fresh=True)

    def upstream_ready(self, connection: UpstreamConnection) -> None:
        self._opening = None
        self._send(connection, b"")
        if self.body_left and not connection.full:
            self.client.resume_reading()

    def _send(self, connection: UpstreamConnection, framed: bytes) -> None:
        """The head and all of the body that is here, in one write."""
        dispatch = self.dispatch
        transport = connection.transport
        assert dispatch is not None
        assert transport is not None
        self.upstream = connection
        self.reused = connection.reused
        upload = self._upload
        left = 0
        if upload is not None:
            left = upload.left
            if upload.held_bytes:
                framed = upload.release() + framed
        if upload is not None and upload.chunked:
            transport.write(b"%bTransfer-Encoding: chunked\r\n\r\n%b" % (dispatch.head, framed))
        elif left or framed:
            transport.write(b"%bContent-Length: %d\r\n\r\n%b" % (dispatch.head, left + len(framed), framed))
        else:
            transport.write(b"%b%b\r\n" % (dispatch.head, self.plan.no_body_line))
        self.sent_at = now = perf_counter()
        if not self.overhead:
            self.overhead = now - self.started
        if left:
            self.phase = Phase.SEND
        else:
            self.phase = _WAIT
            connection.sent()

    def _forward(self, connection: UpstreamConnection, framed: bytes) -> None:
        if connection.transport is None:
            return
        if framed:
            connection.transport.write(framed)
        if not self.body_left:
            self.sent_at = perf_counter()
            self.phase = _WAIT
            connection.sent()

    def upstream_full(self, full: bool) -> None:
        """Backpressure of the upload (rule F07)."""
        if not self.body_left or self._discard:
            return
        if full:
            self.client.pause_reading()
        else:
            self.client.resume_reading()
