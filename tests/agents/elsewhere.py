"""The rest of the world, as a proxy that notes who was asked for and serves nobody."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A proxy at `url`; `asked` are the first lines of what came to it."""

    url: str
    asked: list[str] = field(default_factory=list)


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """A proxy that closes every connection once it knows whom it was for."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Elsewhere(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=_note, args=(listener, made.asked), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # ends the waiting for the next connection
            thread.join(10)


def _note(listener: socket.socket, asked: list[str]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(1)
            try:
                asked.append(connection.recv(4096).decode("latin-1").partition("\r\n")[0])
            except OSError:
                asked.append("a connection that said nothing")
