"""Nodes made in the page say which pack they are of, as those of the shipped workflows do."""

from __future__ import annotations

from workflows.graph import origin

from .page import Page

_MADE = """kind => { const node = LiteGraph.createNode(kind); app.graph.add(node);
  return app.graph.serialize().nodes.find(saved => saved.id == node.id).properties; }"""


def test_a_new_node_names_its_pack_and_version(page: Page) -> None:
    kind = "TalkFaceDubVideo"
    assert origin(kind).items() <= page.do(_MADE, kind).items()
    assert page.do(_MADE, "SaveVideo").get("cnr_id") != "talkface"
    assert not page.troubles


def test_an_opened_node_keeps_what_it_says(page: Page) -> None:
    """A workflow that was saved with another version goes on saying so."""
    kept = page.do(
        """kind => { const node = LiteGraph.createNode(kind);
            node.configure({properties: {cnr_id: "talkface", ver: "0.0.9"}}); return node.properties; }""",
        "TalkFaceDubVideo",
    )
    assert kept["ver"] == "0.0.9"
