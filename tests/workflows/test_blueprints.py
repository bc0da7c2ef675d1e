"""The shipped blueprints of subgraphs, without a host: links that meet, types that fit, widgets that are there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workflows.blueprints import BLUEPRINTS, FOLDER, INLET, OUTLET
from workflows.build import read_info
from workflows.graph import WIDGETS

INFO = read_info()
NAMES = sorted(path.stem for path in FOLDER.glob("*"))


def _read(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The one node, and the subgraph that is its type."""
    page = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    (node,), (within,) = page["nodes"], page["definitions"]["subgraphs"]
    assert node["type"] == within["id"]
    assert node["title"] == within["name"] == name
    return node, within


def test_the_files_are_what_the_generator_writes() -> None:
    """After a change of workflows/blueprints.py: python -m workflows.build."""
    files = {path: text for outline in BLUEPRINTS for path, text in outline(INFO).files().items()}
    assert {*FOLDER.glob("*")} == files.keys()
    for path, text in files.items():
        assert path.read_text(encoding="utf-8") == text, path.name


@pytest.mark.parametrize("name", NAMES)
def test_links_join_the_node_with_what_is_within(name: str) -> None:
    node, within = _read(name)
    inner = {entry["id"]: entry for entry in within["nodes"]}
    for link in within["links"]:
        source, target, at = link["origin_id"], link["target_id"], link["origin_slot"]
        out = (within["inputs"] if source == INLET else inner[source]["outputs"])[at]
        into = (within["outputs"] if target == OUTLET else inner[target]["inputs"])[link["target_slot"]]
        assert out["type"] == into["type"] == link["type"]
        assert link["id"] in (out["linkIds"] if source == INLET else out["links"])
        assert link["id"] in (into["linkIds"] if target == OUTLET else [into["link"]])
    for kind in ("inputs", "outputs"):
        assert [(slot["name"], slot["type"]) for slot in node[kind]] == [(s["name"], s["type"]) for s in within[kind]]
        assert all(slot["linkIds"] for slot in within[kind])


@pytest.mark.parametrize("name", NAMES)
def test_it_is_of_the_pack_whole_and_described(name: str) -> None:
    node, within = _read(name)
    assert len(within["description"]) > 40
    assert len(name) <= 35  # by 43 letters the page finds nothing
    inner = {str(entry["id"]): entry for entry in within["nodes"]}
    for entry in inner.values():
        assert entry["properties"]["cnr_id"] == "talkface"
        for slot in entry["inputs"]:
            about = INFO[entry["type"]]["inputs"][slot["name"]]
            assert slot["link"] or about["type"] in WIDGETS or about.get("optional"), slot["name"]
    assert node["properties"]["proxyWidgets"]
    for key, widget in node["properties"]["proxyWidgets"]:
        assert INFO[inner[key]["type"]]["inputs"][widget]["type"] in WIDGETS
