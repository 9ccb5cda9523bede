"""Single values of rule files."""

import pytest

from translators import values
from translators.model import Model, Secret, Template, Upstream
from translators.problems import InvalidValueError


def problem_of(read: object, text: str) -> str:
    assert callable(read)
    with pytest.raises(InvalidValueError) as caught:
        read(text)
    return f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("name", ["openai", "a", "x2", "302ai", "my-relay-2"])
def test_platform_names_are_slugs(name: str) -> None:
    assert values.slug(name) == name


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a--b", "a.b", "a/b", "ä", "v1", "v1beta", "v2-x", "x" * 41, "a\n"])
def test_other_platform_names_are_errors(name: str) -> None:
    problem_of(values.slug, name)


@pytest.mark.parametrize("name", ["X T", "X:T", "", "X\tT", "Ä", "X\n", "x(y)", '"x"'])
def test_O04_header_names_are_tokens(name: str) -> None:
    assert values.header_name("x-api_key.1") == "x-api_key.1"
    assert "is no header name" in problem_of(values.header_name, name)


@pytest.mark.parametrize(
    "name",
    ["Connection", "keep-alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authorization", "Proxy-Authenticate",
     "HTTP2-Settings", "Proxy-Connection", "Content-Length", "HOST", "Expect"],
)  # fmt: skip
def test_O04_headers_of_the_connection_are_refused(name: str) -> None:
    assert "belongs to the connection" in problem_of(values.header_name, name)


def test_templates_keep_their_parts_in_order() -> None:
    assert values.template("a ${secret.K_1} b ${ model }$c") == Template(("a ", Secret("K_1"), " b ", Model(), "$c"))
    assert values.template("plain") == Template(("plain",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${modell}", "`${modell}` is not known Did you mean `${model}`?"),
        ("${secrets.KEY}", "Did you mean `${secret.NAME}`?"),
        ("${KEY}", "Known: ${secret.NAME}, ${model}."),
        ("${}", "Known:"),
        ("${secret.}", "no name of a secret"),
        ("${secret.key}", "no name of a secret"),
        ("${secret.KEY_FILE}", "no name of a secret"),
        ("${secret.KEY", "not closed"),
        ("a ${ b", "not closed"),
        ("", "an empty value"),
    ],
)
def test_O04_unknown_placeholders_are_errors_with_a_suggestion(text: str, expected: str) -> None:
    assert expected in problem_of(values.template, text)


@pytest.mark.parametrize("text", ["a\r\nX: y", "a\0", "a\x7f", "ü", "a\u2028b", " a", "a ", "\ta", "${model} "])
def test_O04_header_values_hold_no_control_characters(text: str) -> None:
    problem_of(values.template, text)


def test_N05_a_credential_must_come_from_a_secret_and_is_never_shown() -> None:
    for written in (
        "sk-test-0123456789",
        "sk-test-0123456789${secret.K}",
        "abcdefghijklmnop0${secret.K}",
        "${model}",
        "${secret.K}${model}",
    ):
        problem = problem_of(values.credential_template, written)
        assert "sk-test" not in problem
        assert "abcdefgh" not in problem
    assert values.credential_template("x-${secret.K}").secrets == {"K"}


@pytest.mark.parametrize("text", ["sk-test-0123456789", "Bearer abc123456789", "Basic dXNlcjpwYXNzMQ==", "key=sk-test-0123456789"])
def test_N05_other_headers_hold_nothing_that_looks_like_a_credential(text: str) -> None:
    problem = problem_of(values.plain_template, text)
    assert "looks like a credential" in problem
    assert "0123456789" not in problem


@pytest.mark.parametrize(
    "text", ["2023-06-01", "application/json", "basic authentication", "task-runner", "gpt-4.1-2025-04-14", "risk-averse-users"]
)
def test_ordinary_header_values_do_not_look_like_credentials(text: str) -> None:
    assert values.plain_template(text) == Template((text,))


@pytest.mark.parametrize(
    ("text", "upstream", "authority"),
    [
        ("https://api.example.com", Upstream("https", "api.example.com", 443), "api.example.com"),
        ("HTTPS://API.Example.com:443/", Upstream("https", "api.example.com", 443), "api.example.com"),
        ("http://localhost:9000/base/v2/", Upstream("http", "localhost", 9000, "/base/v2"), "localhost:9000"),
        ("http://127.0.0.1", Upstream("http", "127.0.0.1", 80), "127.0.0.1"),
        ("http://[::1]:8080/x", Upstream("http", "::1", 8080, "/x"), "[::1]:8080"),
        ("https://[2001:DB8::0:1]", Upstream("https", "2001:db8::1", 443), "[2001:db8::1]"),
        ("http://my_service:80/a%2Fb", Upstream("http", "my_service", 80, "/a%2Fb"), "my_service"),
    ],
)
def test_O04_base_urls_are_absolute(text: str, upstream: Upstream, authority: str) -> None:
    assert values.upstream(text) == upstream
    assert values.upstream(text).authority == authority


@pytest.mark.parametrize(
    "text",
    [
        "", "api.example.com", "/v1", "//host/x", "ftp://host", "https://", "https:///x", "https://host?x=1", "https://host/#f", "https://host/?",
        "https://ho st", "https://host/a b", "https://host/a//b", "https://host/../a", "https://host/%2e%2E/a", "https://host:0", "https://host:65536",
        "https://host:x", "https://host:", "https://[::1", "https://[nonsense]", "https://[::1]x", "https://[fe80::1%25eth0]", "https://1.2.3",
        "https://256.1.1.1", "https://exämple.com", "https://host\n", "https://-", "https://a..b", "https://host/ü", "https://host/%zz",
    ],
)  # fmt: skip
def test_O04_other_base_urls_are_errors(text: str) -> None:
    problem_of(values.upstream, text)


def test_N04_a_url_with_a_password_is_refused_without_showing_it() -> None:
    assert "hunter2" not in problem_of(values.upstream, "https://user:hunter2@host/x")
    assert "hunter2" not in problem_of(values.upstream, "https://host/?key=hunter2")


@pytest.mark.parametrize("name", ["", "a b", "a\n", "**", "a*b*c", "模型"])
def test_model_names_are_visible_ascii_with_at_most_one_star(name: str) -> None:
    assert values.model_name("ft:gpt-4o:org/x*") == "ft:gpt-4o:org/x*"
    problem_of(values.model_name, name)
