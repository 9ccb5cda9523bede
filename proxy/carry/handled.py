"""An exchange that a rule handles: the request is read whole, then the rule's program says what becomes of it. Only a large form of
which the rule changes some parts goes on as it comes.

Here is the first half, from the head to the program; the second is in `programmed`. A carried route whose credential signs the
whole call comes this way too, without a program.
"""

from proxy.carry.carried import CarriedExchange
from proxy.carry.converted import ASIDE
from proxy.carry.forming import Form, FormSending
from proxy.carry.gathering import Gathering, decoded, too_large_to_hold
from proxy.carry.programmed import ProgrammedExchange
from proxy.carry.refusals import raised
from proxy.carry.upload import PEEK, Upload, twice
from proxy.routing.calls import Work, form_limit
from proxy.routing.plan import Dispatch
from proxy.wire.framing import ChunkedReader
from proxy.wire.head import CHUNKED
from proxy.wire.model import DuplicateModelError, ModelFinder, finder_for, peek_json
from proxy.wire.refusal import Refusal
from proxy.wire.refused import refusal_of
from translators.formats.chunks import Chunks
from translators.formats.multipart import boundary_of
from translators.formats.spans import Spans
from translators.formats.strict_json import BadJsonError
from translators.runtime.bodies import from_bad_json, no_boundary
from translators.runtime.request import Prepared
from translators.runtime.scope import Standing
from translators.runtime.steps import RuleRefusal


class HandledExchange(ProgrammedExchange):
    """See the module."""

    __slots__ = ()

    _upload: Gathering | None

    # -- the client's request

    def start(self, length: int, body: bytes) -> None:
        if length >= 0 and len(body) >= length:
            if len(body) > length:
                self.client.queue(body[length:])
                body = body[:length]
            self._bytes_in = length
            if length > self._limit():
                raise too_large_to_hold()
            self._complete(body, self._model_in(body) if self.dispatch is None and body and not self.plan.coding else None)
            return
        gathering = self._gather(length, searching=self.dispatch is None)
        if self.plan.expect_continue and not body:
            self.client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._came(gathering, body)
        if gathering.left:
            self.client.upload_began()

    def take_over(self, exchange: CarriedExchange, upload: Upload | None, framed: bytes) -> None:
        """Go on with what another exchange has begun: it has found the model, and `framed` is the body so far."""
        self.started = exchange.started
        self.dispatch = exchange.dispatch
        if upload is None:
            self._bytes_in = len(framed)
            if len(framed) > self._limit():
                raise too_large_to_hold()
            self._complete(framed, None)
            return
        left = upload.left
        if upload.reader is None:
            gathering = self._gather(left + len(framed) if left != CHUNKED else CHUNKED, searching=False)
            self._came(gathering, framed)
            return
        gathering = self._gather(CHUNKED, searching=False)
        behind = ChunkedReader()  # what has come was checked; here only its data is wanted
        pieces: list[bytes] = []
        behind.payload = pieces
        behind.feed(framed)
        gathering.pieces.append(b"".join(pieces))
        gathering.go_on(upload.reader, whole=not left)
        self._advance(gathering)

    def request_data(self, data: bytes) -> None:
        gathering = self._upload
        assert gathering is not None
        self._came(gathering, data)

    def _limit(self) -> int:
        """How much of the body may be held."""
        dispatch = self.dispatch
        if dispatch is not None and dispatch.work is not None:
            return dispatch.work.body_limit
        return self.plan.buffered_body or self.client.worker.limits.buffered_body

    def _gather(self, length: int, *, searching: bool) -> Gathering:
        plan, worker = self.plan, self.client.worker
        finder: ModelFinder | None = None
        if searching and not plan.coding:
            finder = finder_for(plan.content_type, compressed=False)
        form = self._form(length, finder)
        if form is not None:
            self._upload = form
            return form
        prepared = self.dispatch.work.prepared if self.dispatch is not None and self.dispatch.work is not None else plan.prepared
        large = prepared is not None and plan.json_type and not plan.coding
        gathering = Gathering(
            length,
            self._limit(),
            worker.hold,
            section_limit=worker.limits.header_section,
            finder=finder,
            watch=prepared.large_watch if large and prepared is not None else None,
        )
        self._upload = gathering
        return gathering

    def _form(self, length: int, finder: ModelFinder | None) -> Form | None:
        """What follows a form that may pass part by part; None: the body is held, whatever its size."""
        plan, worker, dispatch = self.plan, self.client.worker, self.dispatch
        if plan.coding or boundary_of(plan.content_type) is None:
            return None
        work = dispatch.work if dispatch is not None else None
        most = plan.form_limit if work is None else form_limit(work.served, work.route)
        if most is None:
            return None
        return Form(length, most, self._limit(), worker.hold, section_limit=worker.limits.header_section, finder=finder)

    def _came(self, gathering: Gathering, data: bytes) -> None:
        if data:
            try:
                rest = gathering.feed(data)
            except BadJsonError as error:
                raise refusal_of(from_bad_json(error)) from None
            if rest:
                self.client.queue(rest)
        self._advance(gathering)

    def _advance(self, gathering: Gathering) -> None:
        """Go on with what has come of the body."""
        if isinstance(gathering, Form) and self._passes(gathering):
            return
        if not gathering.left:
            self._gathered(gathering)

    def _passes(self, form: Form) -> bool:
        """Whether the form goes on as it comes; then what has come does."""
        if form.sending is None and not (form.large and form.named):
            return False
        if not form.left:
            self.client.upload_ended()
        sending = form.sending or self._begin_form(form)
        sending.came()
        return True

    def _begin_form(self, form: Form) -> FormSending:
        """Make the call whose body is the form as it comes."""
        dispatch = self.dispatch
        if dispatch is None:
            dispatch = self.dispatch = self.plan.for_model(form.model)
        work = self._counted(dispatch)
        assert work.prepared is not None
        try:
            found = work.prepared.streamed_form(work.incoming(b""))
        except Exception as error:
            raise raised(error) from None
        if found is None:  # there are two types, of which `_form` has seen the first
            raise refusal_of(no_boundary())
        passed, rewriter = found
        sending = form.sending = FormSending(form, rewriter, self, self._was_sent)
        self._begin(work, passed.call, sending, passed.convert)
        return sending

    def _gathered(self, gathering: Gathering) -> None:
        self.client.upload_ended()
        try:
            spans = gathering.spans()
        except BadJsonError as error:
            raise refusal_of(from_bad_json(error)) from None
        if spans is None:
            self._complete(gathering.whole(), gathering.model)
        else:
            self._complete_large(gathering, spans)

    def _model_in(self, body: bytes) -> str | None:
        """The model that a whole body names."""
        plan = self.plan
        try:
            if plan.json_type and len(body) <= PEEK:
                return peek_json(body)
            finder = finder_for(plan.content_type, compressed=False)
            finder.feed(body)
        except DuplicateModelError:
            raise twice(close=False) from None
        return finder.model

    def _complete(self, body: bytes, model: str | None) -> None:
        """The request is here as a whole: find out where it goes, and let the rule decide what is sent."""
        plan = self.plan
        plain, unreadable = body, None
        if plan.coding and body:
            try:
                plain = decoded(body, plan.coding, self._limit())
            except Refusal as refusal:
                unreadable = refusal
        dispatch = self.dispatch
        if dispatch is None:
            if plan.coding and unreadable is None:
                model = self._model_in(plain)
            dispatch = self.dispatch = plan.for_model(model)
        work = self._counted(dispatch)
        if unreadable is not None and work.handling is not None:
            raise unreadable
        self._plain, self._raw = plain, body
        if work.prepared is None or work.route is None:
            self._begin(work, work.carried(plain), plain, None)
            return
        standing = work.standing
        if standing is not None and len(plain) <= ASIDE:
            self._make_call(work, work.prepared, standing, plain)
            return
        incoming = self._incoming = work.incoming(plain)
        orchestrator = self.client.worker.orchestrator
        try:
            if work.may_defer and orchestrator.takes(work.served.platform, work.route, incoming):
                self._spawn(self._deferred())
                return
            program = work.prepared.program(incoming)
        except RuleRefusal as refusal:
            raise refusal_of(refusal) from None
        if len(plain) > ASIDE:
            self._spawn(self._step_aside(program))
        else:
            self._step(program)

    def _make_call(self, work: Work, prepared: Prepared, standing: Standing, body: bytes) -> None:
        """Make the one call that the route comes to: no program runs for it (10 us less, with all that this spares)."""
        try:
            call, data, convert = prepared.call(standing, body)
        except Exception as error:
            raise raised(error) from None
        if work.plain and standing.settled:
            self.plan.settled = True
        self._begin(work, call, data, convert)

    def _complete_large(self, gathering: Gathering, spans: Spans) -> None:
        """The same for a large body, which stays in its pieces."""
        dispatch = self.dispatch
        if dispatch is None:
            dispatch = self.dispatch = self.plan.for_model(gathering.model)
        work = self._counted(dispatch)
        assert work.prepared is not None
        try:
            passed = work.prepared.large(work.incoming(b""), Chunks(gathering.pieces), spans)
        except Exception as error:
            raise raised(error) from None
        self._begin(work, passed.call, passed.call.body, passed.convert)

    def _counted(self, dispatch: Dispatch) -> Work:
        work = dispatch.work
        assert work is not None
        self.counted = True
        dispatch.metrics.in_flight.inc()
        return work
