"""Pictures of the workflows and nodes as the host's page shows them, made by running every workflow in a real page.

workflows/<title>.jpg       the card of the template browser, from the video that the workflow made (workflow_cards)
assets/graph.jpg            README's picture: the first workflow in the page, after a run
web/docs/pictures/<id>.jpg  each node alone, for its help page, where it is written as ![](pictures/<id>.jpg): the page
                            resolves relative links against web/docs, wherever below it the help page lies

COMFYUI_PATH=~/ComfyUI python -m benchmarks.workflow_pictures [name ...]

needs a host, Chromium, playwright, and a font that has Chinese (such as WenQuanYi): groups have their titles in it too.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image

from benchmarks.ending import run_program
from tests.browser.page import Page
from tests.host.server import ROOT, Host, Server, copy_pack
from workflows.build import FOLDER, WORKFLOWS, read_info, titles

from .workflow_cards import card

GRAPH = ROOT / "assets" / "graph.jpg"
NODES = ROOT / "web" / "docs" / "pictures"
WINDOW = (1840, 1200)
MARGIN = 12
QUALITY = 68  # of JPEG
QUIET = {
    **{f"Comfy.{name}": False for name in ("Minimap.Visible", "Graph.CanvasMenu", "Graph.CanvasInfo")},
    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
}
BARS = "app.extensionManager.command.execute('Workspace.ToggleFocusMode')"  # hides or shows what is around the graph


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="the workflows to run; all, and the nodes, if none is named")
    parser.add_argument("--nodes-only", action="store_true", help="run nothing; only the nodes' pictures")
    args = parser.parse_args()
    known = [describe.__name__ for describe in WORKFLOWS]
    if unknown := set(args.names) - set(known):
        parser.error(f"no workflow is called {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    with tempfile.TemporaryDirectory() as folder:
        pack = copy_pack(Path(folder) / "packs")
        with Server(Host.find(), pack.parent, Path(folder) / "base") as server:
            with Page.opened(server.client.address, WINDOW) as page:
                for name, value in QUIET.items():
                    page.setting(name, value)
                for name in [] if args.nodes_only else args.names or known:
                    _workflow(page, server, name)
            if args.names and not args.nodes_only:
                return
            with Page.opened(server.client.address, WINDOW, sharpness=1.5) as page:
                for name, value in QUIET.items():
                    page.setting(name, value)
                for kind in read_info():
                    if kind.startswith("TalkFace"):
                        _node(page, kind)


def _workflow(page: Page, server: Server, name: str) -> None:
    """Run a workflow as it is shipped; make its card, and README's picture of the first one."""
    page.template(name)
    ran = page.run(seconds=900)
    if ran.ended != "execution_success":
        raise SystemExit(f"{name} ended with {ran.ended}: {page.shown_text()}")
    (video,) = server.output.rglob(f"{name}_[0-9]*.mp4")
    if name == WORKFLOWS[0].__name__:
        page.settle(3)
        _shot(page, GRAPH, width=1080)
    _save(card(name, video), FOLDER / f"{titles()[name]}.jpg")


def _node(page: Page, kind: str) -> None:
    """A picture of one node as it comes from the menu."""
    page.do(
        """kind => { app.graph.clear(); const node = LiteGraph.createNode(kind);
            node.pos = [0, 0]; node.size = [Math.max(320, node.size[0]), node.size[1]]; app.graph.add(node); }""",
        kind,
    )
    page.settle()
    _shot(page, NODES / f"{kind}.jpg", width=430)


def _shot(page: Page, path: Path, width: int) -> None:
    """What is in the graph, and nothing around it, so many pixels wide at most."""
    page.do(BARS)
    left, top, right, bottom = page.do(
        """() => { const title = LiteGraph.NODE_TITLE_HEIGHT;
            const boxes = [...app.graph.nodes.map(node => [node.pos[0], node.pos[1] - title, node.size[0],
                node.size[1] + title]), ...app.graph.groups.map(group => [...group.pos, ...group.size])];
            return [Math.min(...boxes.map(box => box[0])), Math.min(...boxes.map(box => box[1])),
                Math.max(...boxes.map(box => box[0] + box[2])), Math.max(...boxes.map(box => box[1] + box[3]))]; }"""
    )
    x, y = page.do(
        """([left, top]) => { const canvas = app.canvas; canvas.deselectAll?.(); canvas.ds.scale = 1;
            canvas.ds.offset = [20 - left, 60 - top]; canvas.setDirty(true, true);
            const box = canvas.canvas.getBoundingClientRect(); return [box.x + 20, box.y + 60]; }""",
        [left, top],
    )
    page.settle(1.5)
    clip = {"x": x - MARGIN, "y": y - MARGIN, "width": right - left + 2 * MARGIN, "height": bottom - top + 2 * MARGIN}
    shot = page.inner.screenshot(clip=clip)
    page.do(BARS)
    with Image.open(io.BytesIO(shot)) as picture:
        picture.thumbnail((width, 10 * width), Image.Resampling.LANCZOS)
        _save(picture.convert("RGB"), path)


def _save(picture: Image.Image, path: Path) -> None:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=QUALITY, optimize=True, progressive=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.getvalue())
    print(f"{path.relative_to(ROOT)}: {picture.width} x {picture.height}, {len(data.getvalue()) / 1024:.0f} KB")


if __name__ == "__main__":
    run_program(main)
