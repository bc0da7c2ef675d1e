"""The workflows of landmark diffusion: the sound moves landmarks, which are looked at, and then painted."""

from __future__ import annotations

from .graph import Graph, Info, Node, Out
from .parts import FOOTAGE, REPLIES, TWO_PEOPLE, components, find, footage, landmarks, save, speech, stored


def landmark_dub(info: Info) -> Graph:
    """Footage and another sound to footage that says the sound, step by step."""
    graph = Graph("landmark_dub", "11 New speech by landmarks", info)
    model, video, sound = _given(graph, duration=4.0)
    parts, track = _found(graph, video)
    goal = _adjusted(graph, parts["images"], track, _spoken(graph, model, parts["images"], track, sound))
    frames = _painted(graph, model, parts["images"], track, goal, left=1590, number=5)
    save(graph, (1920, 70), frames["images"], parts["fps"], sound["audio"], number=6)
    graph.notes((0, 1060), (775, 220))
    return graph


def landmark_dub_long(info: Info) -> Graph:
    """One node that streams a dubbed video to disk, however long it is."""
    graph = Graph("landmark_dub_long", "12 New speech by landmarks, long", info)
    model, video, sound = _given(graph)
    graph.group("2. Dub, straight to disk · 配音并写入磁盘", (360, 0), (460, 830))
    given = {"completion": model["completion"], "talkformer": model["talkformer"]}
    given |= {"video": video["video"], "audio": sound["audio"]}
    dubbed = graph.add("TalkFaceDubVideoLandmarks", (380, 80), (420, 730), **given)
    graph.group("3. Save · 保存", (880, 0), (290, 430))
    stored(graph, (900, 80), dubbed)
    graph.notes((880, 490), (520, 190), below=True)
    return graph


def landmark_portrait(info: Info) -> Graph:
    """A single picture that says a sound."""
    graph = Graph("landmark_portrait", "13 Portrait that speaks", info)
    model, video, sound = _given(graph, duration=4.0)
    graph.group("2. One picture, its face · 一张图片和其中的人脸", (340, 70), (550, 590))
    parts = components(graph, (360, 150), video)
    still = graph.add("ImageFromBatch", (360, 340), (200, 82), image=parts["images"], batch_index=0, length=1)
    track = find(graph, (620, 150), parts, still["IMAGE"], smoothing=0.0)
    landmarks(graph, (340, 690), track)
    goal = _spoken(graph, model, still["IMAGE"], track, sound)
    frames = _painted(graph, model, still["IMAGE"], track, goal)
    save(graph, (1590, 70), frames["images"], parts["fps"], sound["audio"], number=5)
    graph.notes((0, 1060), (775, 220))
    return graph


def landmark_plus_sovqae(info: Info) -> Graph:
    """Two papers joined: LaDTalk's SOVQAE restores what TalkFormer has painted, and nothing besides."""
    graph = Graph("landmark_plus_sovqae", "14 Landmarks, then SOVQAE", info)
    model, video, sound = _given(graph, duration=4.0)
    parts, track = _found(graph, video)
    goal = _spoken(graph, model, parts["images"], track, sound)
    frames = _painted(graph, model, parts["images"], track, goal)
    graph.group("5. Texture · 纹理", (1590, 70), (290, 670))
    texture = graph.add("TalkFaceLoadLaDTalk", (1610, 150), (250, 102))
    painted = {"images": frames["images"], "face_track": frames["face_track"], "mask": frames["mask"]}
    sharp = graph.add("TalkFaceSOVQAEEnhance", (1610, 310), (250, 400), sovqae=texture["sovqae"], **painted)
    save(graph, (1920, 70), sharp["images"], parts["fps"], sound["audio"], number=6)
    graph.notes((0, 1060), (930, 200))
    return graph


def landmark_two_people(info: Info) -> Graph:
    """Two people in one film, each of whom says something else: the chain, once for each, over the same frames."""
    graph = Graph("landmark_two_people", "15 Two people by landmarks", info)
    graph.group("1. Footage, two sounds · 素材和两段声音", (0, 0), (300, 1110))
    model = _loader(graph)
    video = footage(graph, 240, TWO_PEOPLE, height=320)
    sounds = [speech(graph, (20, top), name) for top, name in zip((620, 884), REPLIES, strict=True)]
    parts = components(graph, (360, 150), video)
    graph.group("2. Footage · 素材", (340, 70), (240, 206))
    images = parts["images"]
    who = ("3. The left one speaks · 左边的人", "4. The right one speaks · 右边的人")
    choice: tuple[dict[str, object], ...] = ({"face": "leftmost"}, {"face": "index", "index": 1})
    for top, title, chosen, sound in zip((70, 660), who, choice, sounds, strict=True):
        graph.group(title, (620, top), (930, 550))
        track = find(graph, (640, top + 80), parts, height=430, **chosen)
        says = {"face_track": track["face_track"], "audio": sound["audio"], "length": "once"}
        goal = _complete(graph, (960, top + 80), model, height=240, **says)
        graph.add("PreviewImage", (960, top + 370), (250, 160), images=track["preview"])
        painted = {"images": images, "face_track": track["face_track"], "goal": goal["goal"]}
        images = _paint(graph, (1280, top + 80), model, height=450, **painted)["images"]
    both = {"audio1": sounds[0]["audio"], "audio2": sounds[1]["audio"], "merge_method": "add"}
    graph.group("5. Both sounds · 合并声音", (340, 900), (240, 206))
    merged = graph.add("AudioMerge", (360, 980), (200, 106), **both)
    save(graph, (1590, 70), images, parts["fps"], merged["AUDIO"], number=6)
    graph.notes((0, 1270), (930, 180))
    return graph


def _loader(graph: Graph) -> Node:
    """The networks."""
    return graph.add("TalkFaceLoadLandmarkDiffusion", (20, 80), (260, 102))


def _given(graph: Graph, duration: float = 0.0, file: str = FOOTAGE) -> tuple[Node, Node, Node]:
    """What the user gives: networks, footage and new speech."""
    graph.group("1. Input · 输入", (0, 0), (300, 900))
    model = _loader(graph)
    return model, footage(graph, 250, file), speech(graph, (20, 670), duration=duration)


def _found(graph: Graph, video: Node) -> tuple[Node, Node]:
    """Footage taken apart, and its face."""
    graph.group("2. Find the face · 检测人脸", (340, 70), (550, 590))
    parts = components(graph, (360, 150), video)
    track = find(graph, (620, 150), parts)
    landmarks(graph, (340, 690), track)
    return parts, track


def _spoken(graph: Graph, model: Node, images: Out, track: Node, sound: Node) -> Node:
    """Landmarks that say the sound, to be looked at."""
    graph.group("3. Say it · 说出来", (930, 70), (290, 390))
    says = {"face_track": track["face_track"], "audio": sound["audio"], "images": images}
    goal = _complete(graph, (950, 150), model, preview_every=2, **says)
    graph.group("Goal · 目标", (930, 500), (290, 330))
    graph.add("PreviewImage", (950, 580), (250, 230), images=goal["preview"])
    return goal


def _complete(graph: Graph, at: tuple[int, int], model: Node, height: int = 290, **says: Out | str | int) -> Node:
    return graph.add("TalkFaceLandmarkComplete", at, (250, height), completion=model["completion"], **says)


def _adjusted(graph: Graph, images: Out, track: Node, goal: Node) -> Node:
    """Landmarks that an artist may change, to be looked at."""
    graph.group("4. Adjust it · 调整", (1260, 70), (290, 390))
    given = {"goal": goal["goal"], "face_track": track["face_track"], "images": images, "preview_every": 2}
    adjusted = graph.add("TalkFaceAdjustMouth", (1280, 150), (250, 290), **given)
    graph.group("Adjusted · 调整后", (1260, 500), (290, 330))
    graph.add("PreviewImage", (1280, 580), (250, 230), images=adjusted["preview"])
    return adjusted


def _painted(
    graph: Graph, model: Node, images: Out, track: Node, goal: Node, left: int = 1260, number: int = 4
) -> Node:
    """The lower face as the landmarks have it."""
    graph.group(f"{number}. Paint the mouth · 画嘴", (left, 70), (290, 670))
    given = {"images": images, "face_track": track["face_track"], "goal": goal["goal"]}
    return _paint(graph, (left + 20, 150), model, **given)


def _paint(graph: Graph, at: tuple[int, int], model: Node, height: int = 570, **given: Out) -> Node:
    return graph.add("TalkFaceTalkFormerSampler", at, (250, height), talkformer=model["talkformer"], **given)
