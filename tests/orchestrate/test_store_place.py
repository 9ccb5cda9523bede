"""Where the store is, what a setting may say of it, and what stands in it."""

import asyncio
import os
import tempfile
from pathlib import Path

import pytest

from proxy.config import load_config
from proxy.orchestrate.place import default_path, open_configured
from proxy.orchestrate.records import RUNNING, BadRecordError, key_of, pack, unpack
from proxy.store.interface import StoreError
from translators.problems import InvalidFileError
from translators.runtime.deferred import Stored
from translators.runtime.ids import Identity


def identity(provider_id: str) -> Identity:
    return Identity("image", "test", "", "", provider_id, "m1", 1760000000)


def test_a_record_gives_back_what_was_put_in() -> None:
    stored = Stored(200, "image/png", b"\n\x00{}\nbytes", 1760000000)
    assert unpack(pack(stored)) == stored
    assert unpack(pack(Stored(502, None, b"", 1))) == Stored(502, None, b"", 1)
    assert unpack(RUNNING) is None


@pytest.mark.parametrize(
    "record", [b"", b"[]\n", b"{}\n", b'{"status":"200","type":null,"at":1}\n', b'{"status":200,"type":null,"at":1}']
)
def test_a_record_that_is_none_is_told(record: bytes) -> None:
    with pytest.raises(BadRecordError):
        unpack(record)


@pytest.mark.parametrize("text", ["", "x" * 7, "x" * 65, "../../etc/passwd", "a b c d e f g", "é" * 16, "0" * 32 + "\n"])
def test_an_id_that_was_never_given_has_no_key(text: str) -> None:
    assert key_of(identity(text)) is None


def test_calls_of_two_platforms_never_share_a_key() -> None:
    one, other = identity("0" * 32), Identity("image", "other", "", "", "0" * 32, None, 1)
    assert key_of(one) != key_of(other)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "XDG_STATE_HOME": "/home/x"}, "/var/lib/a/dragoman/store.db"),
        ({"XDG_STATE_HOME": "/home/x/.local/state"}, "/home/x/.local/state/dragoman/store.db"),
        ({"XDG_STATE_HOME": "relative"}, f"{tempfile.gettempdir()}/dragoman-{os.getuid()}/store.db"),
        ({}, f"{tempfile.gettempdir()}/dragoman-{os.getuid()}/store.db"),
    ],
)
def test_the_default_place(environ: dict[str, str], expected: str) -> None:
    assert default_path(environ) == Path(expected)


def open_and_close(environ: dict[str, str]) -> None:
    async def main() -> None:
        await (await open_configured("", environ)).close()

    asyncio.run(main())


def test_a_folder_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "dragoman"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(StoreError, match="only this user can write"):
        open_and_close({"XDG_STATE_HOME": str(tmp_path)})


def test_a_link_in_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "dragoman").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="is not a folder"):
        open_and_close({"XDG_STATE_HOME": str(tmp_path)})
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="say another place with `store`"):
        open_and_close({"XDG_STATE_HOME": str(tmp_path / "file")})


def test_a_secret_file_that_cannot_be_read_is_told_without_its_content(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="DRAGOMAN_STORE_FILE"):
        open_and_close({"DRAGOMAN_STORE_FILE": str(tmp_path / "nothing")})


@pytest.mark.parametrize(
    ("said", "means"), [("redis://cache:6379/2", "redis://cache:6379/2"), ("unix:///run/redis.sock", "unix:///run/redis.sock")]
)
def test_a_store_in_redis_is_a_URL(tmp_path: Path, said: str, means: str) -> None:
    file = tmp_path / "dragoman.yaml"
    file.write_text(f"store: {said}\n")
    assert load_config(file).store == means


def test_a_path_starts_at_the_configuration_file(tmp_path: Path) -> None:
    file = tmp_path / "dragoman.yaml"
    file.write_text("store: state/store.db\n")
    assert load_config(file).store == str(tmp_path / "state" / "store.db")


def test_a_URL_with_credentials_does_not_belong_into_the_file(tmp_path: Path) -> None:
    file = tmp_path / "dragoman.yaml"
    file.write_text("store: redis://user:sk-test-word@cache\n")
    with pytest.raises(InvalidFileError) as caught:
        load_config(file)
    assert "DRAGOMAN_STORE" in str(caught.value)
    assert "sk-test-word" not in str(caught.value)
