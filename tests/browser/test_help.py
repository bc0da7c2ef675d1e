"""The help page of each node, opened from the node as a person does it, with its picture."""

from __future__ import annotations

import pytest

from workflows.build import read_info

from .page import Page

NODES = [kind for kind in read_info() if kind.startswith("TalkFace")]


@pytest.mark.parametrize("kind", NODES)
def test_the_help_page_opens_with_its_picture(page: Page, kind: str) -> None:
    page.do(
        """kind => { app.graph.clear(); const node = LiteGraph.createNode(kind); node.pos = [500, 400];
            app.graph.add(node); app.canvas.selectNode(node); app.canvas.setDirty(true, true); }""",
        kind,
    )
    page.settle(0.5)
    # Clicked by script: in older pages the button may lie below the menu bar.
    page.inner.get_by_test_id("info-button").first.evaluate("button => button.click()")
    picture = page.inner.locator(f"img[src$='docs/pictures/{kind}.jpg']").first
    picture.wait_for(state="attached")
    page.inner.wait_for_function("picture => picture.naturalWidth > 300", arg=picture.element_handle())
    # The page looks for a help page in its own language first; English ones are what it falls back to.
    assert not [trouble for trouble in page.troubles if not trouble.endswith(f"docs/{kind}/en.md")]
