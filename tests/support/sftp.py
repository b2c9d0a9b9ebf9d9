"""A real SFTP server on loopback, over a folder of a test, with faults on demand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncssh

from tests.support.delivering import Drop


@dataclass
class Mood:
    """What the server does to its clients."""

    writes_until_lost: int | None = None
    answers_to_the_next_name_lost: bool = False
    has_fsync: bool = True
    lists: bool = True


class Server(asyncssh.SFTPServer):
    """asyncssh's own, over a folder, with moods."""

    mood = Mood()

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        if self.mood.writes_until_lost is not None:
            self.mood.writes_until_lost -= 1
            if self.mood.writes_until_lost < 0:
                self.mood.writes_until_lost = None
                self.channel.get_connection().abort()
        written = super().write(file_obj, offset, data)
        assert isinstance(written, int)
        return written

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        super().rename(oldpath, newpath)
        if self.mood.answers_to_the_next_name_lost and newpath.endswith(b".xml"):
            self.mood.answers_to_the_next_name_lost = False
            Path(self.map_path(newpath).decode()).unlink()  # a reader was faster than the answer
            self.channel.get_connection().abort()

    def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        if not self.mood.lists:
            raise asyncssh.SFTPPermissionDenied("a drop box")
        return super().scandir(path)

    def fsync(self, file_obj: object) -> None:
        if not self.mood.has_fsync:
            raise asyncssh.SFTPOpUnsupported("fsync")
        super().fsync(file_obj)


@dataclass(frozen=True)
class Keys:
    host: asyncssh.SSHKey
    client: Path
    authorized: Path
    known_hosts: Path


def make_keys(folder: Path) -> Keys:
    """Of the server and of its client, in this folder, which is made."""
    host, client = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    folder.mkdir()
    client.write_private_key(folder / "client")
    client.write_public_key(folder / "authorized")
    known = host.export_public_key().decode()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:* {known}", "utf-8")
    return Keys(host, folder / "client", folder / "authorized", folder / "known_hosts")


@asynccontextmanager
async def serving(keys: Keys, root: Path, mood: Mood, port: int = 0) -> AsyncIterator[int]:
    class BoundServer(Server):
        pass

    class Accepting(asyncssh.SSHServer):
        def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
            accepted.append(connection)

    BoundServer.mood = mood
    accepted: list[asyncssh.SSHServerConnection] = []
    server = await asyncssh.listen(
        "127.0.0.1",
        port,
        server_factory=Accepting,
        server_host_keys=[keys.host],
        authorized_client_keys=str(keys.authorized),
        sftp_factory=lambda channel: BoundServer(channel, chroot=str(root).encode()),
    )
    try:
        yield server.get_port()
    finally:
        server.close()
        for connection in accepted:
            connection.abort()
        await server.wait_closed()


def to(drop: Drop, port: int) -> Drop:
    """Known hosts name the port; the pattern of a test's file has none."""
    known = Path(drop.settings["BURSAR_SFTP_KNOWN_HOSTS_FILE"])
    known.write_text(known.read_text("utf-8").replace(":*", f":{port}"), "utf-8")
    return replace(drop, target=f"sftp://bursar@127.0.0.1:{port}/drop")
