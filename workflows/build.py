"""The workflows of the pack. Writes each as the page opens it (<name>.json) and as programs queue it (api/<name>.json).

python -m workflows.build    # after a change here, or of a node's inputs (tests/workflows/node_info.py first)
"""

from __future__ import annotations

import json
from pathlib import Path

from . import ladtalk
from .graph import BLUE, GREEN, Graph, Info, Node, Out
from .parts import FOOTAGE, SPEECH, save

FOLDER = Path(__file__).parent
NODE_INFO = FOLDER.parent / "tests" / "workflows" / "node_info.json"

KEYFRAMES = "0: 0, 0, 0\n1.5: 13, 0, 0\n3: -13, 0, 0\n4.5: 0, 6, 0\n6: 0, -6, 5\n7.5: 0, 0, 0"


def dae_talker(info: Info) -> Graph:
    """Speech to latents to frames to a video file."""
    graph = Graph("dae_talker", info)
    model, speech = _given(graph)
    latents, frames = _talk(graph, model, speech)
    save(graph, (1120, 0), frames["frames"], latents["fps"], speech["audio"])
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
    save(graph, (1120, 0), frames["frames"], latents["fps"], speech["audio"])
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
    save(graph, (1340, 0), frames["frames"], parts["fps"], parts["audio"])
    _note(
        graph,
        "What the model keeps of a face",
        "**DAE Encode** reads one latent off each frame, **DAE Decode** draws the frame again from nothing but that "
        "latent. Compare the video with the footage: what is missing, no speech can bring back.\n\n"
        "Footage must show the speaker that the model was trained on, framed as in training; *ada.mp4 [sample]* does.",
    )
    return graph


def faces_follow(info: Info) -> Graph:
    """The speaker holds her head as somebody in a video does."""
    graph = Graph("faces_follow", info)
    graph.group("1. A head to follow", (0, 0), (1120, 830))
    video = graph.add("TalkFaceLoadVideo", (20, 80), (320, 400), GREEN, file=FOOTAGE)
    parts = graph.add("GetVideoComponents", (380, 80), (320, 106), video=video["video"])
    inputs = {"images": parts["images"], "fps": parts["fps"], "smoothing": 1.0, "preview_every": 5}
    track = graph.add("TalkFaceDetectFaces", (380, 270), (320, 540), **inputs)
    pose = graph.add("TalkFaceHeadPose", (740, 80), (360, 280), face_track=track["face_track"])
    graph.add("PreviewImage", (740, 440), (360, 370), images=track["preview"])
    model, speech = _given(graph, at=(340, 860), number=2, duration=3.0)
    latents, frames = _talk(graph, model, speech, at=(720, 860), number=3, head_pose=pose["head_pose"])
    save(graph, (1460, 860), frames["frames"], latents["fps"], speech["audio"], number=4)
    graph.note(
        (0, 900),
        (320, 480),
        "Follow a head",
        "**Detect Faces** follows a face through a video and marks 68 landmarks in each frame; look at them in "
        "**Preview Image**. **Head Pose** reads the head's turns off them, and the speaker makes the same turns while "
        "she says something else.\n\n"
        "1. **Load Video**: whose head to follow.\n"
        "2. **Load Audio**: what is said. `duration` is that of the video; where the sound is longer, the last pose is "
        "held.\n"
        "3. Press **Run**.\n\n"
        "Jittery? More `smoothing`. Too much of a turn? Less `pose_strength`.",
    )
    return graph


def faces_crop_paste(info: Info) -> Graph:
    """A face cut out, changed and put back: here its mouth gets sharper."""
    graph = Graph("faces_crop_paste", info)
    graph.group("1. Footage", (0, 0), (360, 680))
    video = graph.add("TalkFaceLoadVideo", (20, 80), (320, 400), GREEN, file=FOOTAGE)
    parts = graph.add("GetVideoComponents", (20, 550), (320, 106), video=video["video"])
    graph.group("2. Find the face", (380, 0), (360, 930))
    inputs = {"images": parts["images"], "fps": parts["fps"], "preview_every": 5}
    track = graph.add("TalkFaceDetectFaces", (400, 80), (320, 540), **inputs)
    graph.add("PreviewImage", (400, 680), (320, 230), images=track["preview"])
    graph.group("3. Cut it out, change it, put it back", (760, 0), (680, 680))
    crop = graph.add("TalkFaceCropFace", (780, 80), (300, 350), images=parts["images"], face_track=track["face_track"])
    change = {"image": crop["faces"], "sharpen_radius": 2, "alpha": 0.3}
    sharp = graph.add("ImageSharpen", (780, 500), (300, 130), **change)
    put = {"images": parts["images"], "faces": sharp["IMAGE"], "face_crop": crop["face_crop"]}
    done = graph.add("TalkFacePasteFace", (1120, 80), (300, 420), **put)
    save(graph, (1460, 0), done["images"], parts["fps"], parts["audio"], number=4)
    graph.note(
        (760, 740),
        (680, 190),
        "Change a face, keep the rest",
        "**Crop Face** cuts the tracked face out of every frame, level and centred. What lies between it and **Paste "
        "Face** may be anything that changes pictures and keeps their number: here *ImageSharpen*, else an upscaler, a "
        "restorer, a sampler.\n\n"
        "**Paste Face** takes mouth and jaw of the result, with a soft edge; outside its `mask` not one pixel of the "
        "footage changes. Connect a mask of your own to take more or less of the crop.",
    )
    return graph


def _given(
    graph: Graph, room: int = 0, at: tuple[int, int] = (0, 0), number: int = 1, duration: float = 0.0
) -> tuple[Node, Node]:
    """What the user gives: speaker and speech."""
    left, top = at
    graph.group(f"{number}. Speaker and speech", at, (360, 530 + room))
    model = graph.add("TalkFaceLoadDAETalker", (left + 20, top + 80), (320, 102))
    inputs = {"audio": SPEECH, "duration": duration}
    return model, graph.add("TalkFaceLoadAudio", (left + 20, top + 260), (320, 204), GREEN, **inputs)


def _talk(
    graph: Graph, model: Node, speech: Node, at: tuple[int, int] = (380, 0), number: int = 2, **more: Out
) -> tuple[Node, Node]:
    """Speech to latents, latents to frames."""
    left, top = at
    graph.group(f"{number}. Speech to frames", at, (720, 530))
    hears = {"speech2latent": model["speech2latent"], "audio": speech["audio"], **more}
    latents = graph.add("TalkFaceSpeech2Latent", (left + 20, top + 80), (320, 262), **hears)
    draws = {"dae": model["dae"], "latents": latents["latents"]}
    return latents, graph.add("TalkFaceDAEDecode", (left + 400, top + 80), (300, 420), **draws)


def _note(graph: Graph, title: str, text: str) -> None:
    graph.note((400, 590), (680, 190), title, text)


WORKFLOWS = (
    *(dae_talker, dae_talker_pose, dae_talker_long, dae_talker_reconstruct, faces_follow, faces_crop_paste),
    *(ladtalk.ladtalk_dub, ladtalk.ladtalk_dub_long, ladtalk.sovqae_enhance_any_video, ladtalk.ladtalk_two_people),
)


def read_info() -> Info:
    """The nodes as the snapshot of the host has them."""
    return json.loads(NODE_INFO.read_text(encoding="utf-8"))


def main() -> None:
    info = read_info()
    for describe in WORKFLOWS:
        describe(info).write(FOLDER)


if __name__ == "__main__":
    main()
