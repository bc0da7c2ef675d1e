"""The blueprints of subgraphs as a person meets them: found by the search for nodes, put into the graph, and run."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from workflows.blueprints import FOLDER

from ..host.graphs import DTYPE
from ..host.server import PACK, Server
from .page import Page

NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
_JOIN = """(dtype) => {
  const graph = app.graph, whole = graph.nodes[0];
  for (const inner of whole.subgraph.nodes)
    for (const widget of inner.widgets || [])
      if (widget.name == "dtype") widget.value = dtype;
      else if (widget.name.endsWith("steps")) widget.value = 1;
  const add = (kind, values) => { const node = LiteGraph.createNode(kind); graph.add(node);
    for (const widget of node.widgets || []) if (widget.name in values) widget.value = values[widget.name];
    return node; };
  const given = {AUDIO: () => add("TalkFaceLoadAudio", {audio: "hello.flac [sample]", duration: 1.6}),
                 VIDEO: () => add("TalkFaceLoadVideo", {file: "ada.mp4 [sample]"}),
                 IMAGE: () => add("TalkFaceLoadImage", {image: "portrait.jpg [sample]"})};
  whole.inputs.forEach((input, slot) => { if (given[input.type]) given[input.type]().connect(0, whole, slot); });
  whole.connect(0, add("SaveVideo", {filename_prefix: "talkface/blueprint"}), 0);
  return {inputs: whole.inputs.map(input => input.type), widgets: whole.widgets.map(widget => widget.name)};
}"""


@pytest.fixture(autouse=True)
def _has_blueprints(server: Server) -> None:
    try:
        with urllib.request.urlopen(f"http://{server.client.address}/global_subgraphs", timeout=60) as answer:
            offered = json.load(answer).values()
    except urllib.error.HTTPError:
        pytest.skip("this ComfyUI has no blueprints of subgraphs")
    ours = [entry["name"] for entry in offered if entry["info"]["node_pack"] == f"custom_nodes.{PACK}"]
    assert sorted(ours) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_is_found_put_into_a_graph_and_runs(page: Page, server: Server, name: str) -> None:
    page.dismiss()  # what a page of a new user opens with
    page.do("app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    page.inner.wait_for_function("app.graph.nodes.length == 0")
    page.settle()
    page.do("app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    page.inner.keyboard.type(name, delay=20)
    page.settle(1)
    page.inner.keyboard.press("Enter")
    page.inner.wait_for_function("app.graph.nodes.length == 1 && app.graph.nodes[0].subgraph")
    page.settle()
    assert page.do("app.graph.nodes[0].title") == name
    shown = page.do(_JOIN, DTYPE)
    wanted = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["nodes"][0]
    assert {widget for _, widget in wanted["properties"]["proxyWidgets"]} <= set(shown["widgets"])
    ran = page.run()
    assert ran.ended == "execution_success", page.shown_text()
    assert len([*server.output.rglob("blueprint*.mp4")]) == NAMES.index(name) + 1
    assert not page.troubles
