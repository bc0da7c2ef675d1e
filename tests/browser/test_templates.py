"""Each template as a person meets it: found in the template browser, opened, run, and its video played."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from talkface_core.media.video_reader import VideoReader
from workflows.build import FOLDER, titles
from workflows.graph import NOTE

from ..host.graphs import DECODE, DTYPE, DUB_LANDMARKS, ENHANCE, LADTALK, LANDMARKS, PAINT, STREAM
from ..host.server import Server
from .page import Page

TITLES = titles()
NAMES = list(TITLES)
RUN = ("dae_talker", "landmark_portrait", "voice_to_talking_video")
"""Those that are run in the page: of speech, of footage, of neither picture nor film.

The others send what tests/host runs, which is compared here."""
SPEECH_SECONDS = 8.0
QUICK = 2.0
"""Seconds of speech that are spoken here: what is tested is the page."""
PORTRAIT = 256
"""Side of the portraits that are drawn, and of the sample's picture."""
DRAWN = 256
"""Side of the frames that the bundled speaker has."""
_BEHIND = """() => {
  const [graph, brush] = [app.graph, document.createElement("canvas").getContext("2d")], behind = [];
  brush.lineWidth = 4;
  const links = [...graph.links.values()];
  const segments = links.map(link => [link, link]);
  for (const dot of graph.reroutes.values())
    segments.push([dot, graph.links.get([...dot.linkIds][0])]);
  for (const [drawn, link] of segments)
    for (const node of graph.nodes) {
      const aside = [link.origin_id, link.target_id].includes(node.id) ? 16 : 0;
      const [left, right] = [node.pos[0] + aside, node.pos[0] + node.size[0] - aside];
      for (let y = node.pos[1] - 28; y < node.pos[1] + node.size[1]; y += 4)
        for (let x = left; x < right; x += 4)
          if (brush.isPointInStroke(drawn.path, x, y)) {
            behind.push([link.id, node.type, x, y]); y = Infinity; break; }
    }
  return {wires: links.length, segments: segments.filter(([drawn]) => drawn.path).length, behind};
}"""


@pytest.fixture(params=["canvas", "nodes 2.0"])
def drawn(request: pytest.FixtureRequest, server: Server, page: Page) -> Iterator[str]:
    """The two ways in which newer pages draw nodes; the second was an experiment in older ones."""
    version = server.client.get("/system_stats")["system"]["comfyui_version"]
    if request.param != "canvas" and version.startswith("0.3."):
        pytest.skip(f"ComfyUI {version} has no Nodes 2.0")
    page.setting("Comfy.VueNodes.Enabled", request.param != "canvas")
    yield request.param
    page.setting("Comfy.VueNodes.Enabled", False)


def test_the_cards_have_pictures(page: Page) -> None:
    page.browse()
    for name in NAMES:
        card = page.card(name)
        card.scroll_into_view_if_needed()
        assert TITLES[name] in card.inner_text()
        picture = card.locator("img").first
        picture.wait_for(state="visible")
        page.inner.wait_for_function("img => img.naturalWidth >= 320", arg=picture.element_handle())
    page.dismiss()
    assert not page.troubles


@pytest.mark.parametrize("template", NAMES)
def test_it_opens_as_it_was_drawn(page: Page, template: str) -> None:
    page.template(template)
    shipped = json.loads((FOLDER / f"{TITLES[template]}.json").read_text(encoding="utf-8"))
    nodes = page.nodes()
    assert sorted(node["type"] for node in nodes) == sorted(node["type"] for node in shipped["nodes"])
    assert all(node["known"] for node in nodes)
    assert not page.alerts()
    _queues_what_the_prompt_says(page, template)
    _notes_are_readable(page)
    _no_node_hides_a_wire(page, len(shipped["links"]))
    assert not page.troubles


@pytest.mark.parametrize("template", RUN)
def test_it_runs_and_shows_a_video(page: Page, drawn: str, template: str) -> None:
    page.template(template)
    nodes = page.nodes()
    tag, samples = ("audio", _given(nodes, "TalkFaceLoadAudio", "audio"))
    if not samples:
        tag, samples = ("video", _given(nodes, "TalkFaceLoadVideo", "file"))

    def heard() -> list[float]:
        found = [player["seconds"] for player in page.media(tag) if "%5Bsample%5D" in player["src"]]
        return found if len(found) == len(samples) and all(found) else []

    players = page.soon(heard) if samples else []
    assert sorted(players) == pytest.approx(sorted(_seconds(sample) for sample in samples), abs=0.1)
    width, seconds = _expected(nodes)
    page.set("TalkFaceLoadAudio", start=0.4, duration=QUICK)
    for kind in (LADTALK, LANDMARKS):
        page.set(kind, dtype=DTYPE)
    page.set(ENHANCE, look_at=0)
    for kind in (DECODE, STREAM, PAINT, DUB_LANDMARKS, "TalkFaceAnimatePortrait", "TalkFaceSpeechToMotion"):
        page.set(kind, steps=1, seed=len(drawn))  # a new seed, so that nothing comes from the cache
    page.set("TalkFaceTalkingVideoFromVoice", motion_steps=1, seed=len(drawn))
    ran = page.run()
    assert ran.ended == "execution_success", page.shown_text()
    assert not page.alerts()
    assert ran.messages["progress"] >= 2
    assert ran.messages["b_preview"] >= 1
    page.settle(2)
    videos = [video for video in page.media("video") if f"filename={template}" in video["src"]]
    assert len(videos) == 1, page.media("video")
    assert videos[0]["width"] == width
    assert videos[0]["seconds"] == pytest.approx(math.ceil(seconds * 25) / 25, abs=0.1)
    assert max(page.previews(), default=0) >= 128, "no preview is to be seen"
    assert "failed to load" not in page.do("document.body.innerText")
    assert not page.troubles


def _expected(nodes: list[dict[str, Any]]) -> tuple[int, float]:
    """Width and seconds of the video that a graph makes: of its footage, unless a speaker is drawn or speech rules."""
    kinds = {node["type"] for node in nodes}
    if "TalkFaceLoadSeeTheSpeaker" in kinds:
        return PORTRAIT, QUICK
    drawn = kinds & {"TalkFaceDAEDecode", "TalkFaceTalkingVideo"}
    lasting = "once" in (node["widgets"].get("length") for node in nodes)
    spoken = "TalkFaceLoadAudio" in kinds and not lasting
    footage = _given(nodes, "TalkFaceLoadVideo", "file")
    width = DRAWN if drawn else VideoReader(footage[0]).width
    return width, QUICK if spoken else _seconds(footage[0])


def _given(nodes: list[dict[str, Any]], kind: str, widget: str) -> list[Path]:
    """The pack's samples that nodes of a type name."""
    names = [node["widgets"][widget] for node in nodes if node["type"] == kind]
    return [FOLDER.parent / "samples" / name.removesuffix(" [sample]") for name in names]


def _seconds(sample: Path) -> float:
    """How long a sample plays."""
    with av.open(str(sample)) as container:
        return container.duration / av.time_base


def _queues_what_the_prompt_says(page: Page, template: str) -> None:
    """The API file is what the page itself would send; SaveVideo and CreateVideo have more inputs in newer hosts."""
    wanted = json.loads((FOLDER / "api" / f"{template}.json").read_text(encoding="utf-8"))
    sent = page.prompt()
    assert sent.keys() == wanted.keys()
    for key, node in wanted.items():
        assert sent[key]["class_type"] == node["class_type"]
        given = sent[key]["inputs"]
        if node["class_type"].startswith("TalkFace"):
            own = {name: value for name, value in given.items() if name not in ("audioUI", "video-preview")}
            assert own == node["inputs"]
        else:
            assert {name: value for name, value in node["inputs"].items() if name in given}.items() <= given.items()


def _notes_are_readable(page: Page) -> None:
    """In both languages, none cut off, and no line of it small print."""
    notes = [node for node in page.nodes() if node["type"] == NOTE]
    assert len(notes) == 2
    for box in page.inner.locator(".comfy-markdown").all():
        heights = box.evaluate("box => [box.scrollHeight, box.clientHeight]")
        assert heights[0] <= heights[1] + 2, "the note is longer than its node"
        lines = box.locator(".tiptap").evaluate(
            "box => [...box.children].map(line => [line.tagName, parseFloat(getComputedStyle(line).fontSize)])"
        )
        assert lines[0][0] == "H2"
        assert lines[0][1] >= 15
        assert min(size for _, size in lines) > 11, lines


def _no_node_hides_a_wire(page: Page, links: int) -> None:
    """The wires as the page has drawn them, against every other node and the inside of their own."""
    page.do("() => { app.canvas.ds.scale = 0.5; app.canvas.ds.offset = [40, 60]; app.canvas.setDirty(true, true); }")
    page.settle()
    drawn = page.do(_BEHIND)
    assert drawn["wires"] == links
    assert drawn["segments"] >= drawn["wires"]
    assert not drawn["behind"]


def test_a_file_is_uploaded_and_heard(page: Page, tmp_path: Path) -> None:
    """The button takes a file, the list shows it, and the player plays it."""
    page.template("dae_talker_long")
    sound = tmp_path / "mine.flac"
    sound.write_bytes((FOLDER.parent / "samples" / "hello.flac").read_bytes())
    with page.inner.expect_file_chooser() as chooser:
        page.do(
            """() => app.graph.nodes.find(node => node.type == "TalkFaceLoadAudio")
                .widgets.find(widget => widget.name == "upload").callback()"""
        )
    chooser.value.set_files(sound)
    page.inner.wait_for_function(
        "[...document.querySelectorAll('audio')].some(audio => audio.src.includes('mine.flac') && audio.duration > 7)"
    )
    (loader,) = [node for node in page.nodes() if node["type"] == "TalkFaceLoadAudio"]
    assert loader["widgets"]["audio"] == "mine.flac"
    assert page.media("audio")[-1]["seconds"] == pytest.approx(SPEECH_SECONDS, abs=0.1)
