"""What several workflows have in common: the samples they run on, what is given, and how they end."""

from __future__ import annotations

from .graph import BLUE, GREEN, Graph, Node, Out

SPEECH = "hello.flac [sample]"
FOOTAGE = "ada.mp4 [sample]"
TWO_PEOPLE = "duo.mp4 [sample]"
REPLIES = ("reply_left.flac [sample]", "reply_right.flac [sample]")


def footage(graph: Graph, top: int, file: str = FOOTAGE, height: int = 350) -> Node:
    """A film, in the first column."""
    return graph.add("TalkFaceLoadVideo", (20, top), (260, height), GREEN, file=file)


def speech(graph: Graph, at: tuple[int, int], audio: str = SPEECH, duration: float = 0.0) -> Node:
    """A sound."""
    return graph.add("TalkFaceLoadAudio", at, (260, 204), GREEN, audio=audio, duration=duration)


def components(graph: Graph, at: tuple[int, int], video: Node) -> Node:
    """A film's frames, sound and rate."""
    return graph.add("GetVideoComponents", at, (200, 106), video=video["video"])


def find(
    graph: Graph, at: tuple[int, int], parts: Node, images: Out | None = None, height: int = 490, **choice: object
) -> Node:
    """The face, followed through the footage."""
    inputs = {"images": images or parts["images"], "fps": parts["fps"], "preview_every": 5, **choice}
    return graph.add("TalkFaceDetectFaces", at, (250, height), **inputs)


def landmarks(graph: Graph, at: tuple[int, int], track: Node, height: int = 230) -> None:
    """What Detect Faces has found, to be looked at, in a group of its own."""
    left, top = at
    graph.group("Landmarks · 关键点", at, (290, height + 100))
    graph.add("PreviewImage", (left + 20, top + 80), (250, height), images=track["preview"])


def save(graph: Graph, at: tuple[int, int], frames: Out, fps: Out, audio: Out, number: int = 3) -> None:
    """Frames and sound to a video file with the mark of synthetic media, from top to bottom."""
    left, top = at
    graph.group(f"{number}. Video · 视频", at, (290, 750))
    video = graph.add("CreateVideo", (left + 30, top + 80), (230, 102), images=frames, fps=fps, audio=audio)
    marked = graph.add("TalkFaceMarkSynthetic", (left + 30, top + 280), (230, 40), video=video["VIDEO"])
    stored(graph, (left + 30, top + 420), marked)


def stored(graph: Graph, at: tuple[int, int], video: Node) -> None:
    """A video in the output folder."""
    target = {"video": video["video"], "filename_prefix": f"talkface/{graph.name}"}
    graph.add("SaveVideo", at, (230, 310), BLUE, **target)
