"""The shipped workflows, without a host: known nodes, links that fit, values in range, and all that goes with them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from talkface_core.checkpoints import PRETRAINED
from workflows.build import BROUGHT, BROUGHT_FOLDER, FOLDER, WORKFLOWS, read_info
from workflows.dae_talker import DIFFDUB
from workflows.graph import NOTE, WIDGETS
from workflows.notes import NOTES
from workflows.wires import TITLE, curve, hidden, route

from .node_info import CORE, PREFIX, digest, read_snapshot

INFO = read_info()
ANY = "*"
"""The type of an input that takes whatever there is."""
SAMPLES = FOLDER.parent / "samples"
GRAPHS = {
    graph.name: (graph, folder)
    for described, folder in ((WORKFLOWS, FOLDER), (BROUGHT, BROUGHT_FOLDER))
    for graph in (describe(INFO) for describe in described)
}
NAMES = list(GRAPHS)


def _page(name: str) -> dict[str, Any]:
    graph, folder = GRAPHS[name]
    return json.loads((folder / f"{graph.title}.json").read_text(encoding="utf-8"))


def _prompt(name: str) -> dict[str, Any]:
    return json.loads((GRAPHS[name][1] / "api" / f"{name}.json").read_text(encoding="utf-8"))


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
    shipped = {*FOLDER.rglob("*.json")}
    files = {path: text for graph, folder in GRAPHS.values() for path, text in graph.files(folder).items()}
    assert shipped == files.keys()
    for path, text in files.items():
        assert path.read_text(encoding="utf-8") == text, path.name


def test_every_node_of_the_pack_is_shown_somewhere() -> None:
    used = {node["type"] for name in NAMES for node in _page(name)["nodes"]}
    assert {key for key in INFO if key.startswith(PREFIX)} <= used


def test_a_template_needs_no_weights_that_a_user_brings() -> None:
    """The host lists what lies in the folder itself; what would not run as given lies below it."""
    listed = {path.stem for path in FOLDER.glob("*.json")}
    assert not listed & {graph.title for graph, folder in GRAPHS.values() if folder == BROUGHT_FOLDER}
    assert all(DIFFDUB not in path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_only_the_packs_nodes_and_core_ones(name: str) -> None:
    page = _page(name)
    assert {node["type"] for node in page["nodes"]} <= INFO.keys() | {NOTE}
    assert [node["type"] for node in page["nodes"]].count(NOTE) == len(NOTES[name]) == 2


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
            assert value in (*about.get("options", [value]), DIFFDUB), (node["type"], widget, value)
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
            if widget == "checkpoint" and value != DIFFDUB:
                assert (PRETRAINED / f"{value}.safetensors").is_file(), value


@pytest.mark.parametrize("name", NAMES)
def test_every_node_says_which_pack_it_comes_from(name: str) -> None:
    """So a page without the pack names what is missing."""
    for node in _page(name)["nodes"]:
        if node["type"] != NOTE:
            assert {key: node["properties"][key] for key in ("cnr_id", "ver")} == _origin(node["type"]), node["type"]


def _origin(kind: str) -> dict[str, str]:
    project = (FOLDER.parent / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    said = dict(line.replace('"', "").split(" = ") for line in project if line.count(" = ") == 1)
    if kind.startswith(PREFIX):
        return {"cnr_id": said["name"], "ver": said["version"]}
    return {"cnr_id": "comfy-core", "ver": said["requires-comfyui"].removeprefix(">=")}


@pytest.mark.parametrize("name", NAMES)
def test_landmarks_are_shown_wherever_a_face_is_looked_for(name: str) -> None:
    prompt = _prompt(name)
    shown = {node["inputs"]["images"][0] for node in prompt.values() if node["class_type"] == "PreviewImage"}
    others = (
        *("TalkFaceLandmarkComplete", "TalkFaceAdjustMouth", "TalkFaceEvaluateClip"),
        *("TalkFaceSpeechToPortrait", "TalkFaceTalkingVideoFromVoice", "TalkFaceTrainPerson"),
    )
    others_shown = {key for key, node in prompt.items() if node["class_type"] in others}
    assert {key for key, node in prompt.items() if node["class_type"] == "TalkFaceDetectFaces"} == shown - others_shown


@pytest.mark.parametrize("name", NAMES)
def test_the_rate_comes_from_the_footage(name: str) -> None:
    """Straight from where the frames begin, so that no node in between can be bypassed and leave a widget's rate; a
    portrait has none before it moves."""
    prompt = _prompt(name)
    kinds = {node["class_type"] for node in prompt.values()}
    still = "TalkFaceSpeechToPortrait" in kinds
    (ends,) = [node["inputs"]["fps"] for node in prompt.values() if node["class_type"] == "CreateVideo"] or [None]
    if ends is not None:
        drawn = {"TalkFaceSpeech2Latent", "TalkFaceSpeechToMotion"} & kinds
        moved = {"TalkFaceLandmarkComplete"} if still else {"GetVideoComponents"}
        assert prompt[ends[0]]["class_type"] == (drawn or moved).pop()
    for node in prompt.values():
        if node["class_type"] == "TalkFaceDetectFaces" and not still:
            assert prompt[node["inputs"]["fps"][0]]["class_type"] == "GetVideoComponents"


@pytest.mark.parametrize("name", NAMES)
def test_nodes_lie_apart_in_one_group_each(name: str) -> None:
    page = _page(name)
    frames = _boxes(page)
    for i, (left, top, right, bottom) in enumerate(frames):
        for other in frames[:i]:
            assert left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1], (frames[i], other)
    groups = [group["bounding"] for group in page["groups"]]
    for node, (left, top, right, bottom) in zip(page["nodes"], frames, strict=True):
        around = [g for g in groups if left < g[0] + g[2] and right > g[0] and top < g[1] + g[3] and bottom > g[1]]
        assert len(around) == (node["type"] != NOTE), node["type"]
        assert all(g[0] < left and right < g[0] + g[2] and g[1] < top and bottom < g[1] + g[3] for g in around)


@pytest.mark.parametrize("name", NAMES)
def test_wires_run_to_the_right_or_past_all_nodes(name: str) -> None:
    """No wire lies behind a node; one that runs back to the left has dots that show its way."""
    page = _page(name)
    boxes, nodes = _boxes(page), {node["id"]: index for index, node in enumerate(page["nodes"])}
    graph, _ = GRAPHS[name]
    dots = _dots(page)
    for number, source, slot, target, socket, _ in page["links"]:
        entry = page["nodes"][nodes[target]]["inputs"][socket]["name"]
        ends = graph.nodes[nodes[source]].output_at(slot), graph.nodes[nodes[target]].input_at(entry)
        wire = curve([ends[0], *dots.get(number, []), ends[1]])
        assert not hidden(wire, boxes, (nodes[source], nodes[target])), (number, source, target)
        assert ends[0][0] < ends[1][0] or number in dots
    assert {*dots} == {link["id"] for link in page["extra"].get("linkExtensions", [])}


def _dots(page: dict[str, Any]) -> dict[int, list[tuple[float, float]]]:
    """Number of a link -> its reroutes in order, found as the page finds them: from the last one back."""
    reroutes = {dot["id"]: dot for dot in page["extra"].get("reroutes", [])}
    ways = {}
    for link in page["extra"].get("linkExtensions", []):
        at, way = link["parentId"], []
        while at is not None:
            assert reroutes[at]["linkIds"] == [link["id"]]
            way.insert(0, tuple(reroutes[at]["pos"]))
            at = reroutes[at].get("parentId")
        ways[link["id"]] = way
    assert sum(map(len, ways.values())) == len(reroutes)
    return ways


def _boxes(page: dict[str, Any]) -> list[tuple[float, float, float, float]]:
    """Left, top with the title bar, right and bottom of each node."""
    boxes = [(*node["pos"], *node["size"]) for node in page["nodes"]]
    return [(x, y - TITLE, x + w, y + h) for x, y, w, h in boxes]


@pytest.mark.parametrize(
    ("wire", "over"),
    [(((0, 50), (300, 50)), True), (((0, 50), (20, 130), (280, 130), (300, 50)), False), (((0, 50), (60, 90)), False)],
)
def test_a_wire_behind_a_node_is_seen(wire: tuple[tuple[float, float], ...], over: bool) -> None:
    node, aside = (100.0, 0.0, 200.0, 100.0), (500.0, 0.0, 600.0, 100.0)
    assert hidden(curve(wire), [node, aside, aside], (1, 2)) == over


def test_where_there_is_no_room_no_way_is_made_up() -> None:
    walls = [(0.0, -900.0, 60.0, 900.0), (-100.0, 0.0, 0.0, 50.0), (100.0, 0.0, 200.0, 50.0)]
    with pytest.raises(ValueError, match="leave more room"):
        route((-9, 20), (110, 20), walls, (1, 2), [])


@pytest.mark.parametrize("name", NAMES)
def test_titles_are_for_people_and_notes_for_all_to_read(name: str) -> None:
    """Titles begin with their place and are no longer than a card; notes and groups are in English and Chinese, and all
    lines of notes are headings."""
    graph, folder = GRAPHS[name]
    number = f"{NAMES.index(name) + 1:02} " if folder == FOLDER else ""
    assert re.fullmatch(rf"{number}[A-Z][A-Za-z, ]{{10,33}}", graph.title)
    page = _page(name)
    english, chinese = (node for node in page["nodes"] if node["type"] == NOTE)
    for note, letters in ((english, r"[A-Za-z]"), (chinese, r"[\u4e00-\u9fff]")):
        assert re.search(letters, note["title"])
        heading, *more = note["widgets_values"][0].split("\n\n")
        assert heading.startswith("①")
        assert heading.endswith("\n---")
        assert more
        for line in more:
            assert re.fullmatch(rf"### .*{letters}.*", line), line
    for group in page["groups"]:
        assert re.fullmatch(r"(\d\. )?[A-Z][a-z, ]+ · [\u4e00-\u9fff、]+", group["title"]), group["title"]


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
