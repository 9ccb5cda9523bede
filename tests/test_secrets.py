"""Secrets: where they come from, and that they never show."""

import os
import traceback
from pathlib import Path

import pytest

from proxy.secrets import MAX_BYTES, SecretError, SecretStore
from translators.model import Auth, AuthKind, HeaderRule, Platform, Secret, Template, Upstream
from translators.place import Where

MARKER = "sk-test-marker"


def platform(auth: str | None, *headers: str) -> Platform:
    value = Template((Secret(auth),)) if auth else None
    return Platform(
        name="example",
        title="Example",
        docs=None,
        upstream=Upstream("https", "api.example.com", 443),
        auth=Auth(AuthKind.BEARER if auth else AuthKind.NONE, value=value),
        where=Where(Path("example.yaml"), 1, 1),
        headers=tuple(HeaderRule(f"X-{name}", Template((Secret(name),))) for name in headers),
    )


def test_N05_a_secret_comes_from_the_environment_a_named_file_or_the_directory(tmp_path: Path) -> None:
    (tmp_path / "C").write_text("from directory\n")
    (tmp_path / "named").write_text("from file\r\n")
    store = SecretStore({"A": "from environment", "B_FILE": str(tmp_path / "named")}, directory=tmp_path)
    assert [store.get(name) for name in ("A", "B", "C", "D")] == ["from environment", "from file", "from directory", None]


def test_the_environment_comes_before_the_named_file_and_that_before_the_directory(tmp_path: Path) -> None:
    (tmp_path / "A").write_text("directory")
    (tmp_path / "named").write_text("file")
    environ = {"A": "environment", "A_FILE": str(tmp_path / "named")}
    store = SecretStore(environ, directory=tmp_path)
    assert store.get("A") == "environment"
    del environ["A"]
    assert store.get("A") == "file"
    del environ["A_FILE"]
    assert store.get("A") == "directory"


def test_the_prefix_is_for_the_environment_only(tmp_path: Path) -> None:
    (tmp_path / "C").write_text("c")
    (tmp_path / "named").write_text("b")
    environ = {"X_A": "a", "A": "wrong", "X_B_FILE": str(tmp_path / "named"), "D": "unprefixed"}
    store = SecretStore(environ, "X_", tmp_path)
    assert [store.get(name) for name in ("A", "B", "C", "D")] == ["a", "b", "c", None]


def test_M05_a_rotated_file_is_read_again(tmp_path: Path) -> None:
    store = SecretStore({}, directory=tmp_path)
    for value in ("one", "two"):
        (tmp_path / "new").write_text(value)
        (tmp_path / "new").rename(tmp_path / "A")
        assert store.get("A") == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        (f"{MARKER}\r\nX: y", "holds a control character"),
        (f"{MARKER}\n\n", "holds a control character"),
        (f"{MARKER}\x00", "holds a control character"),
        (f"\t{MARKER}", "holds a control character"),
        (f"{MARKER}\x7f", "holds a control character"),
        (f"{MARKER}ü", "outside ASCII"),
        (f" {MARKER}", "starts or ends with a blank"),
        (f"{MARKER} \n", "starts or ends with a blank"),
    ],
)
def test_N01_N05_an_unusable_value_is_an_error_that_does_not_show_it(tmp_path: Path, value: str, expected: str) -> None:
    (tmp_path / "A").write_bytes(value.encode())
    sources = [SecretStore({}, directory=tmp_path), SecretStore({"A_FILE": str(tmp_path / "A")}), SecretStore({"A": value})]
    for store in sources:
        with pytest.raises(SecretError, match=expected) as caught:
            store.get("A")
        assert MARKER not in str(caught.value)


@pytest.mark.parametrize("data", [MARKER.encode() + b"\xff", b"\xef\xbb\xbf" + MARKER.encode(), MARKER.encode() * MAX_BYTES])
def test_N10_no_exception_keeps_the_value(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "A").write_bytes(data)
    with pytest.raises(SecretError) as caught:
        SecretStore({}, directory=tmp_path).get("A")
    assert MARKER not in "".join(traceback.format_exception(caught.value))
    assert MARKER not in repr(caught.value.args)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_files_that_cannot_be_read_are_errors_naming_their_source(tmp_path: Path) -> None:
    (tmp_path / "A").mkdir()
    os.symlink("nowhere", tmp_path / "B")
    store = SecretStore({"C_FILE": str(tmp_path / "absent"), "D_FILE": ""}, directory=tmp_path)
    expected = {
        "A": "the file A in the directory of secrets cannot be read: Is a directory",
        "B": "the file B in the directory of secrets cannot be read: No such file or directory",
        "C": "the file named by C_FILE cannot be read: No such file or directory",
        "D": "the environment variable D_FILE is empty",
    }
    for name, message in expected.items():
        with pytest.raises(SecretError, match=message):
            store.get(name)


@pytest.mark.parametrize("name", ["", "a", "../A", "A/B", "A.B", "A B", "1A", "A\n"])
def test_a_name_never_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="upper-case letters"):
        SecretStore({name: "x"}, directory=tmp_path).get(name)


def test_N01_the_representation_shows_no_value(tmp_path: Path) -> None:
    store = SecretStore({"A": MARKER}, "X_", tmp_path)
    assert MARKER not in repr(store)
    assert MARKER not in str(store)
    assert "X_" in repr(store)


def test_the_missing_secrets_of_a_platform_are_named(tmp_path: Path) -> None:
    store = SecretStore({"B": "x"})
    assert store.missing(platform("C", "B", "A")) == ("A", "C")
    assert store.missing(platform("B")) == ()
    assert store.missing(platform(None)) == ()
