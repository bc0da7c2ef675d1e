"""The workflows of See the Speaker: a voice alone, or a picture and a sound, to a person who talks."""

from __future__ import annotations

from .graph import GREEN, Graph, Info, Node, Out
from .parts import landmarks, save, speech, stored

PICTURE = "portrait.jpg [sample]"
SEED = 4
"""Of the guessed portrait: one whose hair came out well."""


def voice_to_talking_video(info: Info) -> Graph:
    """One node that makes a talking person of a voice, and streams the video to disk, however long it is."""
    graph = Graph("voice_to_talking_video", "16 Voice to talking video", info)
    model, sound = _given(graph)
    graph.group("2. Portrait and motion, to disk · 肖像和动作直接写入磁盘", (360, 0), (460, 860))
    sides = {name: model[name] for name in ("portrait_model", "motion_model", "hrtf")}
    video = graph.add("TalkFaceTalkingVideoFromVoice", (380, 80), (420, 760), **sides, audio=sound["audio"], seed=SEED)
    graph.group("3. Save · 保存", (880, 0), (290, 430))
    stored(graph, (900, 80), video)
    _looked_at(graph, (880, 490), video["image"])
    graph.notes((0, 930), (575, 220))
    return graph


def animate_any_portrait(info: Info) -> Graph:
    """One node that lets a picture say a sound, and streams the video to disk, however long it is."""
    graph = Graph("animate_any_portrait", "17 Animate any portrait", info)
    model, sound = _given(graph, room=390)
    picture = _picture(graph, 500)
    graph.group("2. Animate, straight to disk · 动画并写入磁盘", (360, 0), (460, 910))
    sides = {"motion_model": model["motion_model"], "hrtf": model["hrtf"]}
    given = {"image": picture["image"], "audio": sound["audio"]}
    video = graph.add("TalkFaceAnimatePortrait", (380, 80), (420, 810), **sides, **given)
    graph.group("3. Save · 保存", (880, 0), (290, 430))
    stored(graph, (900, 80), video)
    graph.notes((880, 490), (520, 210), below=True)
    return graph


def portrait_then_landmark_diffusion(info: Info) -> Graph:
    """Two papers joined: a portrait of a voice, whose mouth landmark diffusion then moves."""
    graph = Graph("portrait_then_landmark_diffusion", "18 Portrait, then landmark diffusion", info)
    model, sound = _given(graph, room=180, duration=4.0)
    lips = graph.add("TalkFaceLoadLandmarkDiffusion", (20, 520), (260, 102))
    graph.group("2. Imagine a portrait · 想象肖像", (340, 70), (290, 500))
    portrait = _imagined(graph, (360, 150), model, sound)
    graph.group("3. Find the face · 检测人脸", (670, 70), (290, 590))
    track = graph.add(
        "TalkFaceDetectFaces", (690, 150), (250, 490), images=portrait["image"], smoothing=0.0, preview_every=5
    )
    landmarks(graph, (670, 700), track)
    graph.group("4. Say it · 说出来", (1000, 70), (290, 390))
    says = {"face_track": track["face_track"], "audio": sound["audio"], "images": portrait["image"]}
    completing = {"completion": lips["completion"], "preview_every": 2}
    goal = graph.add("TalkFaceLandmarkComplete", (1020, 150), (250, 290), **completing, **says)
    graph.group("Goal · 目标", (1000, 500), (290, 330))
    graph.add("PreviewImage", (1020, 580), (250, 230), images=goal["preview"])
    graph.group("5. Paint the mouth · 画嘴", (1330, 70), (290, 670))
    paints = {"images": portrait["image"], "face_track": track["face_track"], "goal": goal["goal"]}
    frames = graph.add("TalkFaceTalkFormerSampler", (1350, 150), (250, 570), talkformer=lips["talkformer"], **paints)
    save(graph, (1660, 70), frames["images"], goal["fps"], sound["audio"], number=6)
    graph.notes((0, 1070), (930, 200))
    return graph


def voice_step_by_step(info: Info) -> Graph:
    """A voice alone to a talking person with everything in between to be looked at and exchanged."""
    graph = Graph("voice_step_by_step", "19 Voice to video, step by step", info)
    model, sound = _given(graph, duration=4.0)
    graph.group("2. Imagine a portrait · 想象肖像", (340, 70), (290, 500))
    portrait = _imagined(graph, (360, 150), model, sound)
    _looked_at(graph, (340, 610), portrait["image"])
    graph.group("3. Motion · 动作", (670, 70), (290, 530))
    hears = {"motion_model": model["motion_model"], "audio": sound["audio"]}
    motion = graph.add("TalkFaceSpeechToMotion", (690, 150), (250, 430), **hears)
    graph.group("4. Draw · 绘制", (1000, 70), (290, 450))
    draws = {"hrtf": model["hrtf"], "image": portrait["image"], "motion": motion["motion"]}
    frames = graph.add("TalkFaceRenderMotion", (1020, 150), (250, 350), **draws)
    save(graph, (1330, 70), frames["images"], motion["fps"], sound["audio"], number=5)
    graph.notes((0, 1060), (790, 200))
    return graph


def _given(graph: Graph, room: int = 0, duration: float = 0.0) -> tuple[Node, Node]:
    """What the user gives: networks and speech."""
    graph.group("1. Input · 输入", (0, 0), (300, 500 + room))
    model = graph.add("TalkFaceLoadSeeTheSpeaker", (20, 80), (260, 122))
    return model, speech(graph, (20, 270), duration=duration)


def _picture(graph: Graph, top: int) -> Node:
    """A picture, in the first column."""
    return graph.add("TalkFaceLoadImage", (20, top + 20), (260, 350), GREEN, image=PICTURE)


def _imagined(graph: Graph, at: tuple[int, int], model: Node, sound: Node) -> Node:
    """A portrait of the voice, brought to size by the codebook."""
    sides = {"portrait_model": model["portrait_model"], "hrtf": model["hrtf"]}
    return graph.add("TalkFaceSpeechToPortrait", at, (250, 400), **sides, audio=sound["audio"], seed=SEED)


def _looked_at(graph: Graph, at: tuple[int, int], image: Out) -> None:
    """The portrait, in a group of its own."""
    left, top = at
    graph.group("Portrait · 肖像", at, (290, 380))
    graph.add("PreviewImage", (left + 20, top + 80), (250, 280), images=image)
