"""Pictures of the workflows and nodes as the host's page shows them, made by running every workflow in a real page.

workflows/<title>.jpg       the card of the template browser: frames of the video that the workflow made
assets/graph.jpg            README's picture: the first workflow in the page, after a run
web/docs/pictures/<id>.jpg  each node alone, for its help page, where it is written as ![](pictures/<id>.jpg): the page
                            resolves relative links against web/docs, wherever below it the help page lies

COMFYUI_PATH=~/ComfyUI python -m benchmarks.workflow_pictures [name ...]   # needs a host, Chromium and playwright
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from talkface_core.evaluation.probe import load_probe
from talkface_core.media.audio import load_audio
from talkface_core.media.video_reader import VideoReader
from tests.browser.page import Page
from tests.host.server import ROOT, Host, Server, copy_pack
from workflows.build import FOLDER, WORKFLOWS, read_info, titles

Frames = NDArray[np.uint8]

FOOTAGE = ROOT / "samples" / "ada.mp4"
GRAPH = ROOT / "assets" / "graph.jpg"
NODES = ROOT / "web" / "docs" / "pictures"
CARD = 400  # pixels
WINDOW = (1840, 900)
MARGIN = 12
QUIET = {
    **{f"Comfy.{name}": False for name in ("Minimap.Visible", "Graph.CanvasMenu", "Graph.CanvasInfo")},
    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
}
BARS = "app.extensionManager.command.execute('Workspace.ToggleFocusMode')"  # hides or shows what is around the graph
COLUMNS = {"dae_talker_long": 3, "ladtalk_dub_long": 3, "ladtalk_two_people": 1}
BESIDE = {
    **{"dae_talker_reconstruct": "from latents", "faces_follow": "same head", "faces_crop_paste": "sharper mouth"},
    **{"ladtalk_dub": "other words", "sovqae_enhance_any_video": "restored"},
}
"""Cards that show frames of the footage above the same frames of the video, and what is written on these."""
SOFT = {"sovqae_enhance_any_video": 0.9}
"""Workflows that blur the footage first, by so many pixels (sigma)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [describe.__name__ for describe in WORKFLOWS]
    parser.add_argument("names", nargs="*", default=names, help="the workflows to run; all if none is named")
    parser.add_argument("--nodes-only", action="store_true", help="run nothing; only the nodes' pictures")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pack = copy_pack(Path(folder) / "packs")
        with Server(Host.find(), pack.parent, Path(folder) / "base") as server:
            with Page.opened(server.client.address, WINDOW) as page:
                for name, value in QUIET.items():
                    page.setting(name, value)
                for name in [] if args.nodes_only else args.names:
                    _workflow(page, server, name)
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
    (video,) = server.output.rglob(f"{name}*.mp4")
    if name == WORKFLOWS[0].__name__:
        page.settle(3)
        _shot(page, GRAPH, quality=80)
    picture = card(video, COLUMNS.get(name, 2), BESIDE.get(name), SOFT.get(name, 0.0))
    _save(picture, FOLDER / f"{titles()[name]}.jpg", quality=85)


def _node(page: Page, kind: str) -> None:
    """A picture of one node as it comes from the menu."""
    page.do(
        """kind => { app.graph.clear(); const node = LiteGraph.createNode(kind);
            node.pos = [0, 0]; node.size = [Math.max(320, node.size[0]), node.size[1]]; app.graph.add(node); }""",
        kind,
    )
    page.settle()
    _shot(page, NODES / f"{kind}.jpg", quality=75)


def _shot(page: Page, path: Path, quality: int) -> None:
    """What is in the graph, at full size, and nothing around it."""
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
        _save(picture.convert("RGB"), path, quality)


def card(video: Path, columns: int, beside: str | None = None, soft: float = 0.0) -> Image.Image:
    """A square picture of a video: the frames that differ most, in order, over its sound; or, below frames of the
    footage, which was blurred by `soft`, the same frames of the video with these words on them."""
    frames = _frames(video)
    width = CARD // columns
    size = (width, round(width * frames.shape[1] / frames.shape[2]))
    if beside is None:
        lines = round(CARD / size[1])
        rows = [frames[list(part)] for part in np.split(_varied(frames, lines * columns), lines)]
    else:
        footage = _frames(FOOTAGE)
        chosen = _varied(frames[: len(footage)], columns)
        rows = [np.stack([_blurred(frame, soft) for frame in footage[chosen]]), frames[chosen]]
    tiles = [[np.asarray(Image.fromarray(tile).resize(size, Image.Resampling.LANCZOS)) for tile in row] for row in rows]
    picture = Image.fromarray(np.concatenate([np.concatenate(row, axis=1) for row in tiles]))
    picture = picture.resize((CARD, CARD), Image.Resampling.LANCZOS)
    if beside is None:
        _sound(picture, video)
    else:
        draw, font = ImageDraw.Draw(picture), ImageFont.load_default(18)
        for text, top in (("footage", 0), (beside, CARD // 2)):
            draw.text((8, top + 4), text, fill="white", font=font, stroke_width=2, stroke_fill=(40, 40, 40))
    return picture


def _frames(path: Path) -> Frames:
    return np.concatenate(list(VideoReader(path).chunks(64)))


def _blurred(frame: Frames, sigma: float) -> Frames:
    return np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(sigma)))


def _varied(frames: Frames, count: int) -> NDArray[np.int64]:
    """Indexes, in order, of `count` frames whose faces differ most from each other (farthest-point sampling).

    Wide frames are looked at square by square.
    """
    side = frames.shape[1]
    squares = [frames[:, :, left : left + side] for left in range(0, frames.shape[2] - side + 1, side)]
    readings = [load_probe().read(square).landmarks.reshape(len(frames), -1) for square in squares]
    points = np.concatenate(readings, axis=1)
    chosen = [int(np.linalg.norm(points - np.median(points, axis=0), axis=1).argmin())]
    while len(chosen) < count:
        nearest = np.linalg.norm(points[:, None] - points[None, chosen], axis=2).min(axis=1)
        chosen.append(int(nearest.argmax()))
    return np.sort(chosen)


def _sound(picture: Image.Image, video: Path) -> None:
    """Draws the loudness over time along the lower edge."""
    wave = np.abs(load_audio(video)["waveform"][0].mean(0).numpy())
    bars = CARD // 4
    loud = wave[: len(wave) // bars * bars].reshape(bars, -1).max(axis=1)
    draw = ImageDraw.Draw(picture, "RGBA")
    draw.rectangle((0, CARD - 44, CARD, CARD), fill=(20, 24, 28, 170))
    for index, height in enumerate(loud / loud.max()):
        half = 1 + 18 * height
        draw.rectangle((4 * index, CARD - 22 - half, 4 * index + 2, CARD - 22 + half), fill=(120, 210, 150, 255))


def _save(picture: Image.Image, path: Path, quality: int) -> None:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=quality, optimize=True, progressive=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.getvalue())
    print(f"{path.relative_to(ROOT)}: {picture.width} x {picture.height}, {len(data.getvalue()) / 1024:.0f} KB")


if __name__ == "__main__":
    main()
