"""What a scrape gets, compared with the reference library and with Prometheus' own tool."""

import shutil
import subprocess
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proxy.outcomes import ErrorType, Outcome, Phase
from proxy.telemetry import catalogue
from proxy.telemetry.families import CHILDREN_PER_PART
from proxy.telemetry.metrics import Metrics

OWN = ("dragoman_", "gen_ai_")


def parsed(text: str) -> dict[str, tuple[str, str, dict[tuple[str, tuple[tuple[str, str], ...]], float]]]:
    """Family name → type, help, samples by name and labels; only what is ours (process figures change between two reads)."""
    return {
        family.name: (
            family.type,
            family.documentation,
            {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in family.samples},
        )
        for family in text_string_to_metric_families(text)
        if family.name.startswith(OWN)
    }


def busy(platform: str = "alpha", route: str = "POST /v1/chat", model: str = "m-1") -> Metrics:
    """Metrics with a child in most families."""
    metrics = Metrics()
    exchange = metrics.exchange(platform, route, "POST", model)
    exchange.count(200, Outcome.OK)
    exchange.in_flight.inc()
    for number, histogram in enumerate((exchange.duration, exchange.first_chunk, exchange.chunk_gap, exchange.overhead)):
        histogram.observe(0.00003 * 10**number)
        histogram.observe(1000.0)
    exchange.tokens(7, 9)
    exchange.error(ErrorType.TLS_CERTIFICATE_ERROR)
    upstream = metrics.upstream(platform)
    upstream.connect()
    upstream.cancel(Phase.SEND)
    upstream.idle.set(3)
    metrics.limit("t_first_byte").inc()
    metrics.set_build("asyncio", "compiled")
    metrics.reload_time.set(1.7e9)
    metrics.loop_lag.observe(0.0004)
    return metrics


def test_own_exposition_says_what_the_reference_library_says() -> None:
    metrics = busy()
    own = parsed(metrics.exposition().decode())
    assert own == parsed(generate_latest(metrics.registry).decode())
    assert len(own) == len(catalogue.ALL)


@settings(deadline=None, max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_label_value_is_escaped_as_the_reference_library_does(platform: str) -> None:
    metrics = Metrics()
    metrics.exchange(platform, "r", "GET", None).in_flight.inc()

    def line(exposed: bytes) -> list[bytes]:
        return [line for line in exposed.split(b"\n") if line.startswith(b"dragoman_exchanges_in_flight{")]

    own = line(metrics.exposition())
    assert len(own) == 1
    assert own == line(generate_latest(metrics.registry))


def test_a_family_nobody_touched_is_declared_without_series() -> None:
    text = Metrics().exposition().decode()
    for spec in catalogue.ALL:
        assert f"# HELP {spec.name} " in text
        assert f"# TYPE {spec.name} {spec.kind.value}\n" in text
    assert "dragoman_exchanges_total{" not in text
    assert "\ndragoman_parse_errors_total 0.0\n" in text


def test_the_process_and_the_interpreter_are_exposed_too() -> None:
    text = Metrics().exposition().decode()
    assert "process_resident_memory_bytes " in text
    assert "python_info{" in text


def test_buckets_are_cumulative_and_end_at_the_count() -> None:
    metrics = Metrics()
    for value in (0.0005, 0.001, 0.02, 700.0):
        metrics.loop_lag.observe(value)
    lines = dict(
        text.rsplit(" ", 1) for text in metrics.exposition().decode().splitlines() if text.startswith("dragoman_event_loop_lag")
    )
    name = "dragoman_event_loop_lag_seconds"
    assert lines[f'{name}_bucket{{le="0.001"}}'] == "2"
    assert lines[f'{name}_bucket{{le="0.025"}}'] == "3"
    assert lines[f'{name}_bucket{{le="600.0"}}'] == "3"
    assert lines[f'{name}_bucket{{le="+Inf"}}'] == "4"
    assert lines[f"{name}_count"] == "4"
    assert float(lines[f"{name}_sum"]) == pytest.approx(700.0215)


def test_a_percent_sign_in_a_label_of_a_histogram_survives() -> None:
    metrics = Metrics()
    metrics.exchange("alpha", "GET /a%2Fb%s", "GET", None).duration.observe(1)
    assert 'dragoman_exchange_duration_seconds_count{platform="alpha",route="GET /a%2Fb%s",model="other"} 1\n' in (
        metrics.exposition().decode()
    )


def test_series_that_appear_during_a_scrape_do_not_disturb_it() -> None:
    metrics = Metrics()
    for number in range(CHILDREN_PER_PART * 2 + 1):
        metrics.exchange("alpha", str(number), "GET", None).count(200, Outcome.OK)
    seen = b""
    for number, part in enumerate(metrics.exposition_parts()):
        metrics.exchange("beta", str(number), "GET", None).count(200, Outcome.OK)
        seen += part
    assert seen.count(b'dragoman_exchanges_total{platform="alpha"') == CHILDREN_PER_PART * 2 + 1
    assert len(parsed(seen.decode())) == len(catalogue.ALL)


def test_Q05_a_scrape_of_two_thousand_series_comes_in_short_parts() -> None:
    metrics = Metrics()
    for number in range(1000):
        exchange = metrics.exchange("alpha", f"POST /v1/{number}", "POST", f"m-{number}")
        exchange.count(200, Outcome.OK)
        exchange.duration.observe(number / 37)
    shortest = float("inf")  # of the longest part of each scrape: a busy machine may disturb some, hardly all
    for _ in range(10):
        longest, then = 0.0, time.thread_time()
        for _part in metrics.exposition_parts():
            now = time.thread_time()
            longest, then = max(longest, now - then), now
        shortest = min(shortest, longest)
    assert shortest < 0.020


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("metrics", [Metrics(), busy(), busy('q"uote', "back\\slash", "new\nline")], ids=["idle", "busy", "odd"])
def test_Q05_promtool_finds_nothing_to_say(metrics: Metrics) -> None:
    result = subprocess.run(["promtool", "check", "metrics"], input=metrics.exposition(), capture_output=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
