"""One server and one page for all tests in the browser; without a host or Chromium they are skipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..host.server import Host, NoHost, Server, copy_pack
from .page import NoBrowser, Page


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the pack, up and running."""
    try:
        host = Host.find()
    except NoHost as reason:
        pytest.skip(str(reason))
    pack = copy_pack(tmp_path_factory.mktemp("packs"))
    with Server(host, pack.parent, tmp_path_factory.mktemp("server") / "base") as running:
        yield running


@pytest.fixture(scope="session")
def opened(server: Server) -> Iterator[Page]:
    """The page, as it opens."""
    try:
        with Page.opened(server.client.address) as page:
            yield page
    except NoBrowser as reason:
        pytest.skip(str(reason))


@pytest.fixture
def page(opened: Page) -> Page:
    """The page, with an empty list of troubles."""
    opened.troubles.clear()
    return opened
