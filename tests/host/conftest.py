"""One server for all tests of the host; without a host, or one that lacks what the pack needs, they are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import Client
from .server import Host, NoHost, Server, copy_pack


@pytest.fixture(scope="session")
def host() -> Host:
    """The host's checkout and Python."""
    try:
        return Host.find()
    except NoHost as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pack as it is installed; beside it only the tests' own nodes."""
    folder = tmp_path_factory.mktemp("packs")
    shutil.copy(Path(__file__).with_name("layouts.py"), folder)
    return copy_pack(folder)


@pytest.fixture(scope="session")
def server(host: Host, pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the pack, up and running."""
    with Server(host, pack.parent, tmp_path_factory.mktemp("server") / "base") as running:
        yield running


@pytest.fixture
def client(server: Server) -> Client:
    """A program that speaks to the server."""
    return server.client


@pytest.fixture(scope="module")
def people(server: Server) -> Iterator[None]:
    """What is trained here is gone afterwards: loaders would list it in other tests."""
    folder = server.models / "talkface"
    before = set(folder.glob("*.safetensors"))
    yield
    for path in set(folder.glob("*.safetensors")) - before:
        path.unlink()
