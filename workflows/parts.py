"""What several workflows have in common: the samples they run on, and how they end."""

from __future__ import annotations

from .graph import BLUE, Graph, Out

SPEECH = "hello.flac [sample]"
FOOTAGE = "ada.mp4 [sample]"
TWO_PEOPLE = "duo.mp4 [sample]"
REPLIES = ("reply_left.flac [sample]", "reply_right.flac [sample]")


def save(graph: Graph, at: tuple[int, int], frames: Out, fps: Out, audio: Out, number: int = 3) -> None:
    """Frames and sound to a video file with the mark of synthetic media."""
    left, top = at
    graph.group(f"{number}. Video", at, (630, 530))
    video = graph.add("CreateVideo", (left + 20, top + 80), (220, 102), images=frames, fps=fps, audio=audio)
    marked = graph.add("TalkFaceMarkSynthetic", (left + 20, top + 270), (220, 40), video=video["VIDEO"])
    target = {"video": marked["video"], "filename_prefix": f"talkface/{graph.name}"}
    graph.add("SaveVideo", (left + 290, top + 80), (320, 430), BLUE, **target)
