"""Every metric family of the proxy: name, meaning, labels, buckets. `docs/metrics.md` lists the same, and a test compares them.

Names follow Prometheus practice (base units, `_total`), and the OpenTelemetry GenAI conventions where those define the same
measurement. Labels come from configuration or from a closed list (rules Q01, Q02).
"""

from proxy.telemetry.families import Kind, Spec

_COUNTER, _GAUGE, _HISTOGRAM = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

# Rule Q05: from a millisecond to ten minutes.
TIMES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
# What the proxy itself adds is two orders below that: from ten microseconds.
OVERHEADS = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

_ROUTE = ("platform", "route")
_MODEL = ("platform", "route", "model")

EXCHANGES = Spec(
    "dragoman_exchanges_total",
    _COUNTER,
    "Exchanges that ended, by class of status and outcome.",
    ("platform", "route", "method", "model", "status", "outcome"),
)
EXCHANGE_ERRORS = Spec(
    "dragoman_exchange_errors_total", _COUNTER, "Failures by error type of RFC 9209.", ("platform", "route", "error")
)
EXCHANGES_IN_FLIGHT = Spec("dragoman_exchanges_in_flight", _GAUGE, "Exchanges that run now.", ("platform",))
EXCHANGE_DURATION = Spec(
    "dragoman_exchange_duration_seconds",
    _HISTOGRAM,
    "From the complete request head to the last byte of the answer.",
    _MODEL,
    TIMES,
)
FIRST_BYTE = Spec(
    "dragoman_exchange_time_to_first_byte_seconds",
    _HISTOGRAM,
    "From the complete request head to the head of the platform's answer, every exchange that has one.",
    _MODEL,
    TIMES,
)
FIRST_CHUNK = Spec(
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    _HISTOGRAM,
    "From the complete request head to the first body byte, event streams only.",
    _MODEL,
    TIMES,
)
CHUNK_GAP = Spec(
    "gen_ai_client_operation_time_per_output_chunk_seconds",
    _HISTOGRAM,
    "Between consecutive reads with body bytes of an event stream; one read may hold several events.",
    _MODEL,
    TIMES,
)
TOKENS = Spec(
    "gen_ai_client_token_usage_total", _COUNTER, "Tokens as the upstream reported them.", ("platform", "route", "model", "type")
)
OVERHEAD = Spec(
    "dragoman_proxy_overhead_seconds",
    _HISTOGRAM,
    "Time spent inside the proxy: request received to handed over, plus response head received to written.",
    _ROUTE,
    OVERHEADS,
)
REQUEST_BYTES = Spec("dragoman_request_body_bytes_total", _COUNTER, "Body bytes received from clients.", _ROUTE)
RESPONSE_BYTES = Spec("dragoman_response_body_bytes_total", _COUNTER, "Body bytes written to clients.", _ROUTE)

CONNECTS = Spec(
    "dragoman_upstream_connects_total", _COUNTER, "Attempts to open an upstream connection, by result.", ("platform", "result")
)
DNS_TIME = Spec("dragoman_upstream_dns_seconds", _HISTOGRAM, "Name resolution.", ("platform",), TIMES)
CONNECT_TIME = Spec("dragoman_upstream_connect_seconds", _HISTOGRAM, "TCP connect.", ("platform",), TIMES)
TLS_TIME = Spec("dragoman_upstream_tls_seconds", _HISTOGRAM, "TLS handshake.", ("platform",), TIMES)
POOL = Spec("dragoman_pool_connections", _GAUGE, "Open upstream connections.", ("platform", "state"))
POOL_WAIT = Spec("dragoman_pool_wait_seconds", _HISTOGRAM, "Waiting for a free upstream connection.", ("platform",), TIMES)
REUSES = Spec("dragoman_pool_reuses_total", _COUNTER, "Exchanges that took an idle connection.", ("platform",))
UNSOLICITED = Spec(
    "dragoman_upstream_unsolicited_bytes_total",
    _COUNTER,
    "Bytes heard on idle connections, which were then closed.",
    ("platform",),
)
SURPLUS = Spec("dragoman_upstream_surplus_bytes_total", _COUNTER, "Bytes after the end of a response, discarded.", ("platform",))
RETRIES = Spec("dragoman_upstream_retries_total", _COUNTER, "Requests sent again.", ("platform",))
CANCELS = Spec(
    "dragoman_upstream_cancels_total",
    _COUNTER,
    "Upstream requests cancelled because the client left, by phase.",
    ("platform", "phase"),
)
UPSTREAM_INSECURE = Spec("dragoman_upstream_insecure", _GAUGE, "1: certificate verification is off.", ("platform",))

PROGRAMS = Spec("dragoman_programs_running", _GAUGE, "Programs of rules that make several steps and run now.", ("platform",))
FETCHES = Spec("dragoman_fetches_total", _COUNTER, "URLs read, by purpose and how it ended.", ("purpose", "outcome"))
DOWNLOAD_BYTES = Spec("dragoman_download_bytes_total", _COUNTER, "Bytes of finished work streamed from URLs.", ("platform",))
DEFERRED = Spec("dragoman_deferred_calls_total", _COUNTER, "Deferred calls that ended, by how.", ("platform", "outcome"))
DEFERRED_RUNNING = Spec("dragoman_deferred_calls_running", _GAUGE, "Deferred calls that run now.")

RULE_NOTES = Spec(
    "dragoman_rule_notes_total", _COUNTER, "What programs of rules met and no client hears of, by kind.", ("platform", "kind")
)
LIMIT_HITS = Spec("dragoman_limit_hits_total", _COUNTER, "Limits and timeouts that were hit, by name.", ("limit",))
PARSE_ERRORS = Spec("dragoman_parse_errors_total", _COUNTER, "Requests whose head or framing was refused.")
AUTH_FAILURES = Spec("dragoman_auth_failures_total", _COUNTER, "Requests with a missing or wrong client licence.")
CLIENT_CONNECTIONS = Spec("dragoman_client_connections", _GAUGE, "Open client connections.")
READY = Spec("dragoman_ready", _GAUGE, "1: configuration valid, listeners open, not draining.")
DRAINING = Spec("dragoman_draining", _GAUGE, "1: shutting down.")
BUILD_INFO = Spec(
    "dragoman_build_info",
    _GAUGE,
    "Always 1; the labels say what runs.",
    ("version", "python", "aiohttp", "event_loop", "parser"),
)
INSECURE_PARSER = Spec("dragoman_insecure_parser", _GAUGE, "1: the pure-Python parser was allowed (development only).")
LOOP_LAG = Spec(
    "dragoman_event_loop_lag_seconds", _HISTOGRAM, "How late a timer of the event loop ran, four samples a second.", (), TIMES
)
ACCESS_LOG_DROPPED = Spec("dragoman_access_log_dropped_total", _COUNTER, "Access-log lines that were lost.", ("reason",))
CONFIG_HASH = Spec("dragoman_config_hash", _GAUGE, "A number made of the loaded rule files: equal where replicas run the same.")
CONFIG_AGE = Spec("dragoman_config_age_seconds", _GAUGE, "Time since the configuration in use was loaded.")
RELOADS = Spec("dragoman_config_reloads_total", _COUNTER, "Loads of the configuration after the start.", ("outcome",))
RELOAD_SUCCESS = Spec("dragoman_config_last_reload_success", _GAUGE, "1: the last load of the configuration succeeded.")
RELOAD_TIME = Spec(
    "dragoman_config_last_reload_timestamp_seconds", _GAUGE, "Unix time of the last successful load of the configuration."
)
SERIES_OVERFLOW = Spec(
    "dragoman_metric_series_overflow_total",
    _COUNTER,
    "Bindings beyond the cap of series, which went to the overflow series.",
    ("metric",),
)

ALL = (
    EXCHANGES,
    EXCHANGE_ERRORS,
    EXCHANGES_IN_FLIGHT,
    EXCHANGE_DURATION,
    FIRST_BYTE,
    FIRST_CHUNK,
    CHUNK_GAP,
    TOKENS,
    OVERHEAD,
    REQUEST_BYTES,
    RESPONSE_BYTES,
    CONNECTS,
    DNS_TIME,
    CONNECT_TIME,
    TLS_TIME,
    POOL,
    POOL_WAIT,
    REUSES,
    UNSOLICITED,
    SURPLUS,
    RETRIES,
    CANCELS,
    UPSTREAM_INSECURE,
    PROGRAMS,
    FETCHES,
    DOWNLOAD_BYTES,
    DEFERRED,
    DEFERRED_RUNNING,
    RULE_NOTES,
    LIMIT_HITS,
    PARSE_ERRORS,
    AUTH_FAILURES,
    CLIENT_CONNECTIONS,
    READY,
    DRAINING,
    BUILD_INFO,
    INSECURE_PARSER,
    LOOP_LAG,
    ACCESS_LOG_DROPPED,
    CONFIG_HASH,
    CONFIG_AGE,
    RELOADS,
    RELOAD_SUCCESS,
    RELOAD_TIME,
    SERIES_OVERFLOW,
)
