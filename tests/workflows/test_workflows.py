"""The shipped workflows, without a host: known nodes, links that fit, values in range, and all that goes with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from talkface_core.checkpoints import PRETRAINED
from workflows.build import FOLDER, WORKFLOWS, read_info
from workflows.graph import NOTE, WIDGETS

from .node_info import CORE, PREFIX, digest, read_snapshot

INFO = read_info()
ANY = "*"
"""The type of an input that takes whatever there is."""
SAMPLES = FOLDER.parent / "samples"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
FILES = {Path(path): text for describe in WORKFLOWS for path, text in describe(INFO).files(FOLDER).items()}


def _page(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def _prompt(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8"))


def _values(node: dict[str, Any]) -> dict[str, Any]:
    """Widget values by name, read by position as the page reads them."""
    given = iter(node["widgets_values"])
    values = {}
    for name, about in INFO[node["type"]]["inputs"].items():
        if about["type"] in WIDGETS:
            values[name] = next(given)
            if about.get("seed"):
                assert next(given) in ("fixed", "increment", "decrement", "randomize")
        elif about["type"] == "AUDIO_UI":
            assert next(given) is None
    for about in INFO[node["type"]]["inputs"].values():
        if "upload" in about:
            next(given)
    assert next(given, "none") == "none", f"{node['type']} has fewer widgets"
    return values


def test_the_files_are_what_the_generator_writes() -> None:
    """After a change of workflows/build.py: python -m workflows.build."""
    shipped = {*FOLDER.glob("*.json"), *(FOLDER / "api").glob("*.json")}
    assert shipped == FILES.keys()
    for path, text in FILES.items():
        assert path.read_text(encoding="utf-8") == text, path.name


def test_every_node_of_the_pack_is_shown_somewhere() -> None:
    used = {node["type"] for name in NAMES for node in _page(name)["nodes"]}
    assert {key for key in INFO if key.startswith(PREFIX)} <= used


@pytest.mark.parametrize("name", NAMES)
def test_only_the_packs_nodes_and_core_ones(name: str) -> None:
    page = _page(name)
    assert {node["type"] for node in page["nodes"]} <= INFO.keys() | {NOTE}
    assert [node["type"] for node in page["nodes"]].count(NOTE) == 1


@pytest.mark.parametrize("name", NAMES)
def test_links_join_slots_of_one_type(name: str) -> None:
    page = _page(name)
    nodes = {node["id"]: node for node in page["nodes"]}
    assert len(nodes) == len(page["nodes"]) == page["last_node_id"]
    for number, source, out, target, slot, kind in page["links"]:
        output, entry = nodes[source]["outputs"][out], nodes[target]["inputs"][slot]
        assert output["type"] == kind
        assert entry["type"] in (kind, ANY)
        assert number in output["links"]
        assert entry["link"] == number
        assert INFO[nodes[source]["type"]]["outputs"][output["name"]] == kind
        assert INFO[nodes[target]["type"]]["inputs"][entry["name"]]["type"] == entry["type"]
    numbers = [link[0] for link in page["links"]]
    assert sorted(numbers) == list(range(1, page["last_link_id"] + 1))
    ends = [entry["link"] for node in nodes.values() for entry in node["inputs"] if entry["link"] is not None]
    assert sorted(ends) == sorted(numbers)


@pytest.mark.parametrize("name", NAMES)
def test_what_must_be_connected_is(name: str) -> None:
    for node in _page(name)["nodes"]:
        for entry in node["inputs"]:
            about = INFO[node["type"]]["inputs"][entry["name"]]
            if about["type"] not in WIDGETS and not about.get("optional"):
                assert entry["link"] is not None, (node["type"], entry["name"])


@pytest.mark.parametrize("name", NAMES)
def test_widget_values_fit_the_nodes(name: str) -> None:
    kinds = {"INT": int, "FLOAT": (int, float), "STRING": str, "BOOLEAN": bool, "COMBO": str}
    for node in _page(name)["nodes"]:
        if node["type"] == NOTE:
            continue
        for widget, value in _values(node).items():
            about = INFO[node["type"]]["inputs"][widget]
            assert isinstance(value, kinds[about["type"]]), (node["type"], widget, value)
            assert value in about.get("options", [value]), (node["type"], widget, value)
            if "min" in about:
                assert about["min"] <= value <= about["max"], (node["type"], widget, value)


@pytest.mark.parametrize("name", NAMES)
def test_the_prompt_says_the_same_as_the_page(name: str) -> None:
    page, prompt = _page(name), _prompt(name)
    nodes = {str(node["id"]): node for node in page["nodes"] if node["type"] != NOTE}
    links = {link[0]: [str(link[1]), link[2]] for link in page["links"]}
    assert prompt.keys() == nodes.keys()
    for key, node in nodes.items():
        linked = {entry["name"]: links[entry["link"]] for entry in node["inputs"] if entry["link"] is not None}
        expected = {**_values(node), **linked}
        assert prompt[key]["class_type"] == node["type"]
        assert expected.items() <= prompt[key]["inputs"].items()
        assert prompt[key]["inputs"].keys() - expected.keys() <= {"format.codec"}


@pytest.mark.parametrize("name", NAMES)
def test_everything_it_names_is_in_the_pack(name: str) -> None:
    for node in _prompt(name).values():
        for widget, value in node["inputs"].items():
            if isinstance(value, str) and value.endswith(" [sample]"):
                assert (SAMPLES / value.removesuffix(" [sample]")).is_file(), value
            if widget == "checkpoint":
                assert (PRETRAINED / f"{value}.safetensors").is_file(), value


@pytest.mark.parametrize("name", NAMES)
def test_nodes_lie_apart_from_left_to_right(name: str) -> None:
    page = _page(name)
    boxes = [(*node["pos"], *node["size"]) for node in page["nodes"]]
    frames = [(x, y - 30, x + w, y + h) for x, y, w, h in boxes]  # with the title bar
    for i, (left, top, right, bottom) in enumerate(frames):
        for other in frames[:i]:
            assert left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1], (frames[i], other)
    places = {node["id"]: node["pos"][0] for node in page["nodes"]}
    assert all(places[source] <= places[target] for _, source, _, target, *_ in page["links"])
    groups = [group["bounding"] for group in page["groups"]]
    for node, (left, top, right, bottom) in zip(page["nodes"], frames, strict=True):
        around = [g for g in groups if left < g[0] + g[2] and right > g[0] and top < g[1] + g[3] and bottom > g[1]]
        assert len(around) == (node["type"] != NOTE), node["type"]
        assert all(g[0] < left and right < g[0] + g[2] and g[1] < top and bottom < g[1] + g[3] for g in around)


@pytest.mark.parametrize("name", NAMES)
def test_a_small_square_picture_lies_beside_it(name: str) -> None:
    """The template browser shows it on a square card. Made by benchmarks/workflow_pictures.py."""
    path = FOLDER / f"{name}.jpg"
    with Image.open(path) as picture:
        assert picture.format == "JPEG"
        assert 320 <= picture.width == picture.height <= 512
    assert path.stat().st_size < 40 * 1024


def test_the_snapshot_leaves_out_what_differs_between_machines() -> None:
    about = {"tooltip": "x", "options": ["mine.wav", "a.wav [sample]"], "audio_upload": True}
    node = {"display_name": "N", "output_name": ["b"], "output": ["AUDIO"]}
    core = {key: {**node, "input": {"required": {"x": [["one", "two"]]}}} for key in CORE}
    seed = ["INT", {"min": 0, "max": 9, "default": 1, "control_after_generate": True, "tooltip": "y"}]
    ours = {**node, "input": {"required": {"audio": ["COMBO", about]}, "optional": {"seed": seed}}}
    digested = digest({PREFIX + "N": ours, "Other": node, **core})
    assert digested.keys() == {PREFIX + "N", *CORE}
    assert digested[PREFIX + "N"] == {
        "title": "N",
        "inputs": {
            "audio": {"type": "COMBO", "options": ["a.wav [sample]"], "upload": "audio"},
            "seed": {"type": "INT", "optional": True, "default": 1, "min": 0, "max": 9, "seed": True},
        },
        "outputs": {"b": "AUDIO"},
    }
    assert digested[CORE[0]]["inputs"] == {"x": {"type": "COMBO"}}
    assert {key for key in read_snapshot() if not key.startswith(PREFIX)} == set(CORE)
