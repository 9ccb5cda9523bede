"""The families, their bindings and the cap on series."""

import random
import string
from dataclasses import fields

import pytest

from proxy.outcomes import ErrorType, Outcome, Phase
from proxy.settings import Limits, Timeouts
from proxy.telemetry import catalogue
from proxy.telemetry.families import Kind
from proxy.telemetry.metrics import Metrics

ROUTE = ("alpha", "POST /v1/chat", "POST", "m-1")


def line(metrics: Metrics, start: str) -> float:
    """The value of the one exposed line that starts like this."""
    found = [text for text in metrics.exposition().decode().splitlines() if text.startswith(start)]
    assert len(found) == 1, found
    return float(found[0].rsplit(" ", 1)[1])


def series(metrics: Metrics) -> int:
    return sum(len(family) for family in metrics.families)


def test_an_exchange_is_counted_by_class_of_status_and_outcome() -> None:
    metrics = Metrics()
    exchange = metrics.exchange(*ROUTE)
    exchange.count(200, Outcome.OK)
    exchange.count(204, Outcome.OK)
    exchange.count(499, Outcome.CLIENT_CLOSED)
    start = 'dragoman_exchanges_total{platform="alpha",route="POST /v1/chat",method="POST",model="m-1",status='
    assert line(metrics, start + '"2xx",outcome="ok"}') == 2
    assert line(metrics, start + '"4xx",outcome="client_closed"}') == 1


@pytest.mark.parametrize("status", [0, -1, 42, 600, 999, 12345])
def test_a_status_that_is_none_is_counted_as_none(status: int) -> None:
    metrics = Metrics()
    metrics.exchange(*ROUTE).count(status, Outcome.TRUNCATED)
    metrics.exchange(*ROUTE).count(status, Outcome.TRUNCATED)
    assert line(metrics, "dragoman_exchanges_total{") == 2
    assert 'status="none",outcome="truncated"' in metrics.exposition().decode()


def test_every_pair_of_class_and_outcome_has_its_own_series() -> None:
    metrics = Metrics()
    exchange = metrics.exchange(*ROUTE)
    for status in (100, 200, 300, 400, 500):
        for outcome in Outcome:
            exchange.count(status, outcome)
    assert len(metrics.counter(catalogue.EXCHANGES)) == 5 * len(Outcome)
    assert all(slots == [1.0] for _, slots in metrics.counter(catalogue.EXCHANGES).samples())


def test_the_same_route_is_bound_once() -> None:
    metrics = Metrics()
    assert metrics.exchange(*ROUTE) is metrics.exchange(*ROUTE)
    assert metrics.upstream("alpha") is metrics.upstream("alpha")
    assert metrics.limit("body") is metrics.limit("body")


def test_a_bound_route_nobody_called_costs_no_series() -> None:
    metrics = Metrics()
    before = series(metrics)
    metrics.exchange(*ROUTE)
    metrics.upstream("alpha")
    assert series(metrics) == before


def test_every_attribute_of_an_exchange_counts_into_its_family() -> None:
    metrics = Metrics()
    exchange = metrics.exchange(*ROUTE)
    exchange.in_flight.inc()
    for histogram in (exchange.duration, exchange.first_byte, exchange.first_chunk, exchange.chunk_gap, exchange.overhead):
        histogram.observe(0.2)
    exchange.request_bytes.inc(10)
    exchange.response_bytes.inc(20)
    exchange.tokens(30, 40)
    exchange.error(ErrorType.DNS_ERROR)
    model = '{platform="alpha",route="POST /v1/chat",model="m-1"}'
    route = '{platform="alpha",route="POST /v1/chat"}'
    assert line(metrics, 'dragoman_exchanges_in_flight{platform="alpha"}') == 1
    assert line(metrics, f"dragoman_exchange_duration_seconds_count{model}") == 1
    assert line(metrics, f"dragoman_exchange_time_to_first_byte_seconds_count{model}") == 1
    assert line(metrics, f"gen_ai_client_operation_time_to_first_chunk_seconds_count{model}") == 1
    assert line(metrics, f"gen_ai_client_operation_time_per_output_chunk_seconds_count{model}") == 1
    assert line(metrics, f"dragoman_proxy_overhead_seconds_count{route}") == 1
    assert line(metrics, f"dragoman_request_body_bytes_total{route}") == 10
    assert line(metrics, f"dragoman_response_body_bytes_total{route}") == 20
    assert line(metrics, f'gen_ai_client_token_usage_total{model[:-1]},type="input"}}') == 30
    assert line(metrics, f'gen_ai_client_token_usage_total{model[:-1]},type="output"}}') == 40
    assert line(metrics, f'dragoman_exchange_errors_total{route[:-1]},error="dns_error"}}') == 1


def test_every_attribute_of_an_upstream_counts_into_its_family() -> None:
    metrics = Metrics()
    upstream = metrics.upstream("alpha")
    upstream.busy.inc(2)
    upstream.idle.inc(3)
    upstream.insecure.set(1)
    for histogram in (upstream.dns_time, upstream.connect_time, upstream.tls_time, upstream.pool_wait):
        histogram.observe(0.2)
    upstream.reuses.inc(4)
    upstream.retries.inc(5)
    upstream.unsolicited_bytes.inc(6)
    upstream.surplus_bytes.inc(7)
    upstream.connect()
    upstream.connect(ErrorType.CONNECTION_REFUSED)
    upstream.cancel(Phase.WAIT)
    own = '{platform="alpha"'
    assert line(metrics, f'dragoman_pool_connections{own},state="busy"}}') == 2
    assert line(metrics, f'dragoman_pool_connections{own},state="idle"}}') == 3
    assert line(metrics, f"dragoman_upstream_insecure{own}}}") == 1
    for name in ("upstream_dns", "upstream_connect", "upstream_tls", "pool_wait"):
        assert line(metrics, f"dragoman_{name}_seconds_count{own}}}") == 1
    assert line(metrics, f"dragoman_pool_reuses_total{own}}}") == 4
    assert line(metrics, f"dragoman_upstream_retries_total{own}}}") == 5
    assert line(metrics, f"dragoman_upstream_unsolicited_bytes_total{own}}}") == 6
    assert line(metrics, f"dragoman_upstream_surplus_bytes_total{own}}}") == 7
    assert line(metrics, f'dragoman_upstream_connects_total{own},result="ok"}}') == 1
    assert line(metrics, f'dragoman_upstream_connects_total{own},result="connection_refused"}}') == 1
    assert line(metrics, f'dragoman_upstream_cancels_total{own},phase="wait"}}') == 1


def test_a_misspelt_attribute_is_an_error() -> None:
    metrics = Metrics()
    for bound in (metrics.exchange(*ROUTE), metrics.upstream("alpha")):
        with pytest.raises(AttributeError, match="durations"):
            _ = bound.durations  # type: ignore[union-attr]


def test_every_limit_and_timeout_of_the_settings_has_a_counter() -> None:
    metrics = Metrics()
    names = [field.name for settings in (Limits, Timeouts) for field in fields(settings)]
    for name in names:
        metrics.limit(name).inc()
        assert line(metrics, f'dragoman_limit_hits_total{{limit="{name}"}}') == 1
    with pytest.raises(ValueError, match="bodyy"):
        metrics.limit("bodyy")


def test_the_build_is_shown_as_labels() -> None:
    metrics = Metrics()
    metrics.set_build("uvloop", "compiled")
    text = metrics.exposition().decode()
    assert 'event_loop="uvloop",parser="compiled"} 1.0' in text
    assert "dragoman_build_info{version=" in text


def test_Q01_a_method_that_is_none_is_other() -> None:
    metrics = Metrics()
    metrics.exchange("alpha", "native", "BREW", None).count(405, Outcome.REFUSED)
    assert 'method="other",model="other"' in metrics.exposition().decode()


def test_Q03_ten_thousand_random_labels_add_no_series_over_the_cap() -> None:
    metrics = Metrics(series_limit=50)
    rng = random.Random(7)

    def word() -> str:
        return "".join(rng.choices(string.printable, k=12))

    for _ in range(10_000):
        exchange = metrics.exchange(word(), word(), word(), word())
        exchange.count(rng.randrange(1000), rng.choice(list(Outcome)))
        exchange.duration.observe(0.1)
        exchange.error(rng.choice(list(ErrorType)))
        metrics.upstream(word()).connect(ErrorType.DNS_ERROR)
    for family in metrics.families:
        assert len(family) <= 50, family.spec.name
    counted = sum(slots[0] for _, slots in metrics.counter(catalogue.EXCHANGES).samples())
    assert counted == 10_000, "what overflows is counted all the same"
    overflow = [slots for labels, slots in metrics.histogram(catalogue.EXCHANGE_DURATION).samples() if labels == ("overflow",) * 3]
    assert len(overflow) == 1
    assert sum(overflow[0][:-1]) > 9_000
    assert line(metrics, 'dragoman_metric_series_overflow_total{metric="dragoman_exchanges_total"}') > 9_000


def test_Q03_the_bound_objects_are_capped_like_the_series() -> None:
    metrics = Metrics(series_limit=10)
    first = metrics.exchange("p0", "r", "GET", None)
    bound = {id(metrics.exchange(f"p{i}", "r", "GET", None)) for i in range(1000)}
    assert len(bound) == 10
    assert metrics.exchange("p0", "r", "GET", None) is first, "who came first keeps his place"


def test_a_cap_that_leaves_no_room_for_the_overflow_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        Metrics(series_limit=1)


def test_the_bank_has_room_for_every_family_at_its_cap() -> None:
    metrics = Metrics(series_limit=5)
    families = [family for family in metrics.families if family.spec is not catalogue.SERIES_OVERFLOW]
    for family in families:
        for number in range(100):
            family.labels(*(f"{label}{number}" for label in family.spec.labels))
    assert all(len(family) == family.limit for family in families)


def test_a_wrong_number_of_labels_is_an_error() -> None:
    with pytest.raises(ValueError, match="got 1 values"):
        Metrics().counter(catalogue.EXCHANGE_ERRORS).labels("alpha")


def test_Q05_names_units_and_buckets_follow_the_rules() -> None:
    names = [spec.name for spec in catalogue.ALL]
    assert len(names) == len(set(names))
    for spec in catalogue.ALL:
        assert spec.name.endswith("_total") == (spec.kind is Kind.COUNTER), spec.name
        assert spec.help.endswith("."), spec.name
        assert list(spec.bounds) == sorted(set(spec.bounds)), spec.name
        if spec.kind is Kind.HISTOGRAM:
            assert spec.name.endswith("_seconds")
            if spec is not catalogue.OVERHEAD:
                assert (spec.bounds[0], spec.bounds[-1]) == (0.001, 600.0), spec.name


def test_outcomes_and_errors_are_the_closed_lists_of_the_design() -> None:
    assert {outcome.label for outcome in Outcome} == {
        "ok",
        "upstream_error",
        "refused",
        "failed",
        "truncated",
        "client_closed",
        "drained",
    }
    assert all(error.value == error.name.lower() for error in ErrorType)
    assert [phase.value for phase in Phase] == ["pool", "dns", "connect", "tls", "send", "wait", "receive"]
