"""The workflows of the pack. Writes each as the page opens it (<name>.json) and as programs queue it (api/<name>.json).

python -m workflows.build    # after a change here, or of a node's inputs (tests/workflows/node_info.py first)
"""

from __future__ import annotations

import json
from pathlib import Path

from .graph import BLUE, GREEN, Graph, Info, Node, Out

FOLDER = Path(__file__).parent
NODE_INFO = FOLDER.parent / "tests" / "workflows" / "node_info.json"

SPEECH = "hello.flac [sample]"
FOOTAGE = "ada.mp4 [sample]"
KEYFRAMES = "0: 0, 0, 0\n1.5: 13, 0, 0\n3: -13, 0, 0\n4.5: 0, 6, 0\n6: 0, -6, 5\n7.5: 0, 0, 0"


def dae_talker(info: Info) -> Graph:
    """Speech to latents to frames to a video file."""
    graph = Graph("dae_talker", info)
    model, speech = _given(graph)
    latents, frames = _talk(graph, model, speech)
    _save(graph, 1120, frames["frames"], latents["fps"], speech["audio"])
    _note(
        graph,
        "Speech to a talking face",
        "1. **Load Audio**: choose or upload speech. *hello.flac [sample]* comes with the pack.\n"
        "2. Press **Run**.\n"
        "3. The video appears in **Save Video** and in `output/talkface`.\n\n"
        "**Slow without a GPU?** Set `dtype` in *Load DAE-Talker* to bfloat16, or `steps` in *DAE Decode* to 1.\n\n"
        "**Other looks**: `expression` opens the mouth wider, `head_motion` 0 holds the head still, `idle` off takes "
        "away blinks and sway.\n\n"
        "**Minutes or hours of speech**: template *dae_talker_long*. **A head pose of your own**: *dae_talker_pose*.",
    )
    return graph


def dae_talker_pose(info: Info) -> Graph:
    """The same with a head that moves as the user says."""
    graph = Graph("dae_talker_pose", info)
    model, speech = _given(graph, room=300)
    pose = graph.add("TalkFaceHeadPose", (20, 560), (320, 250), GREEN, keyframes=KEYFRAMES)
    latents, frames = _talk(graph, model, speech, head_pose=pose["head_pose"])
    _save(graph, 1120, frames["frames"], latents["fps"], speech["audio"])
    _note(
        graph,
        "A head pose of your own",
        "**Head Pose** turns the head while it speaks. One line for each moment:\n\n"
        "`seconds: yaw, pitch, roll` (degrees)\n\n"
        "Above 0, yaw turns to the right of the picture, pitch nods down, roll tilts counter-clockwise. In between the "
        "head moves evenly. Without any line the three sliders hold.\n\n"
        "`pose_strength` blends from the pose that the speech suggests (0) to yours (1); `idle` adds blinks and a "
        "slight sway.\n\n"
        "The bundled speaker has seen yaw -16 to 16, pitch -7 to 12 and roll -6 to 5 degrees.",
    )
    return graph


def dae_talker_long(info: Info) -> Graph:
    """One node that streams speech to a video file, however long it is."""
    graph = Graph("dae_talker_long", info)
    model, speech = _given(graph)
    graph.group("2. Draw, straight to disk", (380, 0), (360, 820))
    parts = {"speech2latent": model["speech2latent"], "dae": model["dae"], "audio": speech["audio"]}
    video = graph.add("TalkFaceTalkingVideo", (400, 80), (320, 720), **parts)
    graph.group("3. Save", (760, 0), (360, 530))
    target = {"video": video["video"], "filename_prefix": f"talkface/{graph.name}"}
    graph.add("SaveVideo", (780, 80), (320, 430), BLUE, **target)
    graph.note(
        (0, 590),
        (360, 230),
        "Any length of speech",
        "**Talking Video** writes frames to disk as they are drawn: an hour needs no more memory than a minute.\n\n"
        "1. **Load Audio**: choose or upload speech.\n"
        "2. Press **Run**. The newest frame is shown while it works; cancelling stops it at once.\n"
        "3. The video appears in **Save Video** and in `output/talkface`, marked as synthetic.\n\n"
        "To try a part first, set `start` and `duration` in *Load Audio*.",
    )
    return graph


def dae_talker_reconstruct(info: Info) -> Graph:
    """Footage to latents and back: what the model keeps of a face."""
    graph = Graph("dae_talker_reconstruct", info)
    graph.group("1. Model and footage", (0, 0), (360, 680))
    model = graph.add("TalkFaceLoadDAETalker", (20, 80), (320, 102))
    video = graph.add("TalkFaceLoadVideo", (20, 260), (320, 400), GREEN, file=FOOTAGE)
    graph.group("2. Frames to latents and back", (380, 0), (940, 530))
    parts = graph.add("GetVideoComponents", (400, 80), (220, 106), video=video["video"])
    read = {"dae": model["dae"], "images": parts["images"], "fps": parts["fps"]}
    latents = graph.add("TalkFaceDAEEncode", (680, 80), (260, 80), **read)
    frames = graph.add("TalkFaceDAEDecode", (1000, 80), (300, 420), dae=model["dae"], latents=latents["latents"])
    _save(graph, 1340, frames["frames"], parts["fps"], parts["audio"])
    _note(
        graph,
        "What the model keeps of a face",
        "**DAE Encode** reads one latent off each frame, **DAE Decode** draws the frame again from nothing but that "
        "latent. Compare the video with the footage: what is missing, no speech can bring back.\n\n"
        "Footage must show the speaker that the model was trained on, framed as in training; *ada.mp4 [sample]* does.",
    )
    return graph


def _given(graph: Graph, room: int = 0) -> tuple[Node, Node]:
    """What the user gives: speaker and speech."""
    graph.group("1. Speaker and speech", (0, 0), (360, 530 + room))
    model = graph.add("TalkFaceLoadDAETalker", (20, 80), (320, 102))
    return model, graph.add("TalkFaceLoadAudio", (20, 260), (320, 204), GREEN, audio=SPEECH)


def _talk(graph: Graph, model: Node, speech: Node, **more: Out) -> tuple[Node, Node]:
    """Speech to latents, latents to frames."""
    graph.group("2. Speech to frames", (380, 0), (720, 530))
    hears = {"speech2latent": model["speech2latent"], "audio": speech["audio"], **more}
    latents = graph.add("TalkFaceSpeech2Latent", (400, 80), (320, 262), **hears)
    return latents, graph.add("TalkFaceDAEDecode", (780, 80), (300, 420), dae=model["dae"], latents=latents["latents"])


def _save(graph: Graph, left: int, frames: Out, fps: Out, audio: Out) -> None:
    """Frames and sound to a video file with the mark of synthetic media."""
    graph.group("3. Video", (left, 0), (630, 530))
    video = graph.add("CreateVideo", (left + 20, 80), (220, 102), images=frames, fps=fps, audio=audio)
    marked = graph.add("TalkFaceMarkSynthetic", (left + 20, 270), (220, 40), video=video["VIDEO"])
    target = {"video": marked["video"], "filename_prefix": f"talkface/{graph.name}"}
    graph.add("SaveVideo", (left + 290, 80), (320, 430), BLUE, **target)


def _note(graph: Graph, title: str, text: str) -> None:
    graph.note((400, 590), (680, 190), title, text)


WORKFLOWS = (dae_talker, dae_talker_pose, dae_talker_long, dae_talker_reconstruct)


def read_info() -> Info:
    """The nodes as the snapshot of the host has them."""
    return json.loads(NODE_INFO.read_text(encoding="utf-8"))


def main() -> None:
    info = read_info()
    for describe in WORKFLOWS:
        describe(info).write(FOLDER)


if __name__ == "__main__":
    main()
