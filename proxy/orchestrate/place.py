"""Where the store of deferred calls is when nobody says: a file that all workers of one user on one machine find alike."""

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from proxy.secrets import SecretError, SecretStore
from proxy.store.interface import Store, StoreError
from proxy.store.opening import open_store

VARIABLE = "DRAGOMAN_STORE"
_FILE = "store.db"
_FOLDERS = ("STATE_DIRECTORY", "XDG_STATE_HOME")  # what service managers and desktops say


def default_path(environ: Mapping[str, str]) -> Path:
    """The file's path; nothing is made."""
    for name in _FOLDERS:
        folder = environ.get(name, "").partition(":")[0]
        if folder.startswith("/"):
            return Path(folder) / "dragoman" / _FILE
    return Path(tempfile.gettempdir()) / f"dragoman-{os.getuid()}" / _FILE


async def open_configured(where: str, environ: Mapping[str, str]) -> Store:
    """The store that the settings name, else the environment, else the one at the default place. Raises StoreError."""
    try:
        named = where or SecretStore(environ).get(VARIABLE)
    except SecretError as error:
        raise StoreError(str(error)) from None
    return await (open_store(named) if named else open_default(environ))


async def open_default(environ: Mapping[str, str]) -> Store:
    """The store at the default place, whose folder is made when it is not there. Raises StoreError."""
    path = default_path(environ)
    _make_folder(path.parent)
    return await open_store(str(path))


def _make_folder(folder: Path) -> None:
    """A folder of our own, which nobody else can write: among temporary files somebody may have made it before us."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise StoreError(f"{folder} cannot be made for the store: {error.strerror}; say another place with `store`") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise StoreError(f"{folder} is not a folder that only this user can write; say another place with `store`")
