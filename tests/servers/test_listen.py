"""From an address to a listening socket, and what can be in the way."""

from __future__ import annotations

import os
import re
import socket
import stat
from pathlib import Path

import pytest

from check_user.servers.listen import (
    PATH_LIMIT,
    Endpoint,
    Inet,
    ListenError,
    Unix,
    bind,
    parse_endpoint,
)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("inet:127.0.0.1:10025", Inet("127.0.0.1", 10025)),
        ("inet:[::1]:0", Inet("::1", 0)),
        ("inet:localhost:65535", Inet("localhost", 65535)),
        ("inet:*:25", Inet("", 25)),
        ("unix:/run/x.sock", Unix("/run/x.sock")),
    ],
)
def test_parse(text: str, endpoint: Endpoint) -> None:
    """An address is read as it is written."""
    assert parse_endpoint(text) == endpoint


@pytest.mark.fault("PC20")
@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "an address is inet:HOST:PORT or unix:/PATH"),
        ("tcp:localhost:25", "an address is inet:HOST:PORT or unix:/PATH"),
        ("inet::25", "an address is inet:HOST:PORT or unix:/PATH"),
        ("inet:25", "an address is inet:HOST:PORT or unix:/PATH"),
        ("inet:localhost:", "the port is a number"),
        ("inet:localhost:smtp", "the port is a number"),
        ("inet:localhost:65536", "the port is a number"),
        ("inet:::1:25", "stands in brackets"),
        ("unix:run/x.sock", "an absolute path"),
        ("unix:", "an absolute path"),
        ("unix:/a\0b", "an absolute path"),
        ("unix:/" + "a" * PATH_LIMIT, f"at most {PATH_LIMIT} octets"),
        ("unix:/" + "ä" * 54, f"at most {PATH_LIMIT} octets"),
    ],
)
def test_parse_error(text: str, advice: str) -> None:
    """An address that can't be read says what it should look like, in one line."""
    with pytest.raises(ListenError, match=re.escape(advice)) as caught:
        parse_endpoint(text)
    assert str(caught.value).isprintable()


async def test_longest_path(tmp_path: Path) -> None:
    """A path of the limit can be bound."""
    folder = f"{tmp_path}/"
    path = folder + "s" * (PATH_LIMIT - len(folder))
    (await bind(parse_endpoint(f"unix:{path}"))).close()


async def test_host_with_several_addresses() -> None:
    """Every interface is bound, and each socket says where it is."""
    listener = await bind(parse_endpoint("inet:*:0"))
    assert all(re.fullmatch(r"inet:(0\.0\.0\.0|\[::\]):\d+", each) for each in listener.addresses)
    listener.close()
    assert not listener.is_intact()


@pytest.mark.parametrize(
    ("host", "advice"), [("192.0.2.1", "no such address"), ("no.such.host.invalid", "not known")]
)
async def test_wrong_host(host: str, advice: str) -> None:
    """A host that isn't known or isn't ours is one clear line."""
    with pytest.raises(ListenError, match=f"inet:{host}:0: .*{advice}"):
        await bind(Inet(host, 0))


async def test_port_in_use() -> None:
    """A port that another process listens on is one clear line."""
    first = await bind(Inet("127.0.0.1", 0))
    with pytest.raises(ListenError, match="another process listens there"):
        await bind(parse_endpoint(first.addresses[0]))
    first.close()
    (await bind(parse_endpoint(first.addresses[0]))).close()


@pytest.mark.fault("PC20")
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
async def test_mode(tmp_path: Path, mode: int) -> None:
    """The socket has the mode that was asked for, whatever the umask, which stays as it is."""
    old = os.umask(0o027)
    try:
        listener = await bind(parse_endpoint(f"unix:{tmp_path}/s", mode=mode))
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == mode
    listener.close()


async def test_owner(tmp_path: Path) -> None:
    """The socket has the owner that was asked for, by name or by number."""
    for user, group in (("root", "daemon"), ("0", "1")):
        listener = await bind(Unix(f"{tmp_path}/s", user=user, group=group))
        found = (tmp_path / "s").stat()
        assert (found.st_uid, found.st_gid) == (0, 1)
        listener.close()
    with pytest.raises(ListenError, match="'no-such-user'"):
        await bind(Unix(f"{tmp_path}/s", user="no-such-user"))
    assert not (tmp_path / "s").exists()


@pytest.mark.fault("PC20")
async def test_stale_socket(tmp_path: Path) -> None:
    """A socket that nobody listens on is replaced."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    listener = await bind(Unix(str(path)))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.close()
    assert not path.exists()


@pytest.mark.fault("PC20")
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
async def test_live_socket(tmp_path: Path, kind: socket.SocketKind) -> None:
    """A socket that somebody has open is left alone."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(str(path))
        if kind == socket.SOCK_STREAM:
            other.listen()
        before = path.lstat()
        with pytest.raises(ListenError, match="another process listens there"):
            await bind(Unix(str(path)))
        assert path.lstat().st_ino == before.st_ino


@pytest.mark.fault("PC20")
async def test_live_socket_with_a_full_queue(tmp_path: Path) -> None:
    """A socket whose owner is too busy to accept is left alone."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as client:
        other.bind(str(path))
        other.listen(0)
        client.connect(str(path))
        with pytest.raises(ListenError, match="another process listens there"):
            await bind(Unix(str(path)))
        assert path.is_socket()


@pytest.mark.fault("PC20")
async def test_other_files(tmp_path: Path) -> None:
    """A file, a folder or a link in the way is left alone, and the line says what to do."""
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("file", "folder", "link"):
        with pytest.raises(ListenError, match="no socket is there; remove it"):
            await bind(Unix(f"{tmp_path}/{name}"))
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(ListenError, match="folder is not there"):
        await bind(Unix(f"{tmp_path}/none/s"))
    with pytest.raises(ListenError, match="folder is not there"):
        await bind(Unix(f"{tmp_path}/file/s"))


@pytest.mark.fault("PC20")
async def test_only_its_own_file_is_removed(tmp_path: Path) -> None:
    """A listener whose path another one has taken over leaves that one's file."""
    path = tmp_path / "s"
    first = await bind(Unix(str(path)))
    assert first.is_intact()
    path.unlink()
    assert not first.is_intact()
    second = await bind(Unix(str(path)))
    assert (first.is_intact(), second.is_intact()) == (False, True)
    first.close()
    first.close()
    assert second.is_intact()
    second.close()
    assert not path.exists()
