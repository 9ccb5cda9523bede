"""The configuration file: what it can say, and what every slip in it says."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from proxy.config import COUNTS, LEAST, ZERO, address, load_config
from proxy.settings import Limits, Settings, Timeouts
from translators.problems import InvalidFileError, InvalidValueError


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "dragoman.yaml"
    file.write_text(text)
    return file


def read(tmp_path: Path, text: str) -> Settings:
    return load_config(write(tmp_path, text))


def problems_of(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(InvalidFileError) as caught:
        read(tmp_path, text)
    return [str(problem).removeprefix(f"{tmp_path}/dragoman.yaml:") for problem in caught.value.problems]


def problem_of(tmp_path: Path, text: str) -> str:
    found = problems_of(tmp_path, text)
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("text", ["", "# all defaults\n", "{}"])
def test_an_empty_file_gives_all_defaults(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == Settings()


def test_every_field_can_be_said(tmp_path: Path) -> None:
    digest = "sha256:" + "0a" * 32
    text = f"""\
listen: ["127.0.0.1:0", "[::1]:8080", "unix:run/gateway.sock"]
admin: null
rules: [mine, /etc/rules]
shipped_rules: false
upstreams: {{openai: "http://127.0.0.1:9000/base"}}
platforms: [openai, my-relay]
sandbox: true
open: true
licences: ["{digest}"]
licences_file: licences
secrets_dir: /run/secrets
secrets_prefix: DRAGOMAN_
store: state/store.db
log_level: debug
access_log: access.log
tls_certificate: tls/cert.pem
tls_key: tls/key.pem
ca_file: ca.pem
via: gateway
event_loop: asyncio
insecure_parser: true
limits: {{request_line: 16KiB, body: 0, header_count: 100}}
timeouts: {{t_first_byte: 10m, t_connect: 500ms, t_total: 0, body_min_rate: 2KiB}}
"""
    assert {line.partition(":")[0] for line in text.splitlines()} == {field.name for field in fields(Settings)}
    assert read(tmp_path, text) == Settings(
        listen=("127.0.0.1:0", "[::1]:8080", f"unix:{tmp_path}/run/gateway.sock"),
        admin=None,
        rules=(tmp_path / "mine", Path("/etc/rules")),
        shipped_rules=False,
        upstreams={"openai": "http://127.0.0.1:9000/base"},
        platforms=("openai", "my-relay"),
        sandbox=True,
        open=True,
        licences=(digest,),
        licences_file=tmp_path / "licences",
        secrets_dir=Path("/run/secrets"),
        secrets_prefix="DRAGOMAN_",
        store=f"{tmp_path}/state/store.db",
        log_level="debug",
        access_log=f"{tmp_path}/access.log",
        tls_certificate=tmp_path / "tls/cert.pem",
        tls_key=tmp_path / "tls/key.pem",
        ca_file=tmp_path / "ca.pem",
        via="gateway",
        event_loop="asyncio",
        insecure_parser=True,
        limits=Limits(request_line=16384, body=0, header_count=100),
        timeouts=Timeouts(t_first_byte=600.0, t_connect=0.5, t_total=0.0, body_min_rate=2048),
    )


def test_the_command_line_can_replace_single_fields(tmp_path: Path) -> None:
    settings = replace(read(tmp_path, "via: a\nlog_level: debug"), via="b")
    assert (settings.via, settings.log_level) == ("b", "debug")


@pytest.mark.parametrize(("name", "value"), [("access_log", "-"), ("access_log", "off"), ("via", "''"), ("secrets_prefix", "''")])
def test_words_with_a_meaning_are_no_paths(tmp_path: Path, name: str, value: str) -> None:
    assert getattr(read(tmp_path, f'{name}: "{value}"'.replace("\"''\"", '""')), name) == value.strip("'")


@pytest.mark.parametrize("record", [Limits, Timeouts])
def test_every_default_is_a_value_that_could_be_written(tmp_path: Path, record: type[Limits] | type[Timeouts]) -> None:
    name = record.__name__.lower()
    lines = "".join(f"  {field.name}: {getattr(record(), field.name)}\n" for field in fields(record))
    assert getattr(read(tmp_path, f"{name}:\n{lines}"), name) == record()


def test_the_tables_of_names_hold_names_of_the_settings() -> None:
    known = {field.name for record in (Limits, Timeouts) for field in fields(record)}
    assert known >= COUNTS | ZERO | set(LEAST)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lisen: [a]", "1:1: unknown name `lisen` in the configuration\n    Did you mean `listen`?"),
        ("limits: {request_lines: 5}", "1:10: unknown name `request_lines` in `limits`\n    Did you mean `request_line`?"),
        ("timeouts: {t_conect: 5}", "1:12: unknown name `t_conect` in `timeouts`\n    Did you mean `t_connect`?"),
        ("limits: 5", "1:9: `limits` must be a mapping, not a number"),
        ("- a", "1:1: the configuration must be a mapping, not a list"),
        ("null", "1:1: the configuration must be a mapping, not nothing"),
        ("listen: 127.0.0.1:8080", "1:9: a list is expected here, not a text\n    Write [a, b]"),
        ("listen: []", "1:1: no address to listen on"),
        ("listen: [localhost]", "1:10: `localhost` has no port\n    Write HOST:PORT"),
        ("admin: 8080", "1:8: a text is expected here, not a number"),
        ("open: yes", "1:7: true or false is expected here, not a text"),
        ("via: null", "1:6: a text is expected here, not nothing"),
        ("via: a b", "1:6: this is no pseudonym"),
        ("log_level: verbose", "1:12: `verbose` is not possible here\n    Possible: debug, info, warning, error"),
        ("log_level: waring", "1:12: `waring` is not possible here\n    Did you mean `warning`?"),
        ("event_loop: uvlop", "1:13: `uvlop` is not possible here\n    Did you mean `uvloop`?"),
        ("licences: [abc]", "1:12: this is no licence\n    Write sha256:"),
        ("platforms: [OpenAI]", "1:13: `OpenAI` is no platform name"),
        ("upstreams: {openai: api.example.com}", "1:21: not an absolute URL"),
        ("upstreams: [a]", "1:12: `upstreams` must be a mapping, not a list"),
        ("rules: ['']", "1:9: an empty path"),
        ("secrets_prefix: my-", "1:17: this is no prefix"),
        ("tls_key: a.pem", "1:1: `tls_certificate` and `tls_key` belong together"),
        ("limits: {request_line: 7999}", "1:24: `request_line` is too small: RFC 9112 section 3 asks for at least 8,000"),
        ("limits: {body: -1}", "1:16: `-1` is out of range"),
        ("limits: {body: 1.5}", "1:16: `1.5` is no size\n    Write bytes as a whole number, or 64KiB, 1MiB, 2GiB."),
        ("limits: {header_count: 64KiB}", "1:24: `64KiB` is no whole number"),
        ("limits: {header_count: 0}", "1:24: `header_count` cannot be 0"),
        ("limits: {body: true}", "1:16: `true` is no size"),
        ("limits: {header_field: 1MiB}", "1:10: `header_field` is larger than `header_section`"),
        ("limits: {body: 1MiB, buffered_body: 2MiB}", "1:22: `buffered_body` is larger than `body`"),
        ("timeouts: {t_connect: -1}", "1:23: `-1` is out of range"),
        ("timeouts: {t_connect: 0}", "1:23: `t_connect` cannot be 0\n    Leave the line out for the default."),
        ("timeouts: {t_connect: .inf}", "1:23: `inf` is out of range"),
        ("timeouts: {t_connect: .nan}", "1:23: `nan` is out of range"),
        ("timeouts: {t_connect: 5 s}", "1:23: `5 s` is no duration"),
        ("timeouts: {t_connect: 3000h}", "1:23: `3000h` is out of range"),
        ("timeouts: {body_min_rate: 1s}", "1:27: `1s` is no size"),
        ("via: a\nvia: b", "2:1: the key `via` stands twice: first in line 1, column 1"),
        ("via: !!python/name:os.system x", "1:6: the tag `tag:yaml.org,2002:python/name:os.system` is not read here"),
    ],
)  # fmt: skip
def test_a_slip_is_said_with_its_place_and_a_suggestion(tmp_path: Path, text: str, expected: str) -> None:
    assert problem_of(tmp_path, text).startswith(expected)


def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    found = problems_of(tmp_path, "lisen: []\nopen: 1\nlimits:\n  body: -1\n  bodi: 1\nlog_level: loud\n")
    assert [problem.split(": ")[0] for problem in found] == ["1:1", "2:7", "4:9", "5:3", "6:12"]


def test_N04_a_password_in_an_upstream_is_not_shown(tmp_path: Path) -> None:
    assert "hunter2" not in problem_of(tmp_path, "upstreams: {openai: 'https://me:hunter2@host/'}")


def test_M07_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError) as caught:
        load_config(tmp_path / "absent.yaml")
    assert str(caught.value) == f"{tmp_path}/absent.yaml:1:1: no such file"


@pytest.mark.parametrize("text", ["127.0.0.1:0", "localhost:80", "[::]:8080", "0.0.0.0:65535", "unix:/run/x.sock"])
def test_addresses_to_listen_on(text: str) -> None:
    assert address(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        ":80",
        "8080",
        "::1:80",
        "[::1]",
        "[::1:80",
        "host:65536",
        "host:-1",
        "host:x",
        "ho st:80",
        "unix:",
        "a@b:80",
        "h/x:80",
    ],
)
def test_other_addresses_are_errors(text: str) -> None:
    with pytest.raises(InvalidValueError):
        address(text)
