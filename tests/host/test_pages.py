"""What the host serves of the pack beside its nodes: help pages, templates with their pictures, translations."""

from __future__ import annotations

import re
import urllib.request
from urllib.parse import quote

import pytest

from .client import Client
from .server import PACK, ROOT


def _bytes(client: Client, path: str) -> bytes:
    with urllib.request.urlopen(f"http://{client.address}{path}", timeout=60) as answer:
        return answer.read()


@pytest.fixture
def ids(client: Client) -> list[str]:
    """The pack's nodes."""
    return [key for key, node in client.object_info().items() if node["python_module"] == f"custom_nodes.{PACK}"]


def test_every_node_has_a_help_page_whose_pictures_are_there(client: Client, ids: list[str]) -> None:
    for key in ids:
        page = _bytes(client, f"/extensions/{PACK}/docs/{key}.md").decode()
        assert len(page) > 300, key
        for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page):
            at = picture if picture.startswith("/") else f"/extensions/{PACK}/docs/{picture}"
            assert len(_bytes(client, at)) > 1000, (key, picture)


def test_every_template_is_offered_with_its_picture(client: Client) -> None:
    shipped = {path.stem for path in (ROOT / "workflows").glob("*.json")}
    assert set(client.get("/workflow_templates")[PACK]) >= shipped
    for name in shipped:
        assert client.get(f"/api/workflow_templates/{PACK}/{quote(name)}.json")["nodes"]
        assert _bytes(client, f"/api/workflow_templates/{PACK}/{quote(name)}.jpg").startswith(b"\xff\xd8")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_node_is_translated(client: Client, ids: list[str], language: str) -> None:
    translated = client.get("/i18n")[language]["nodeDefs"]
    assert not [key for key in ids if not translated[key]["display_name"]]
