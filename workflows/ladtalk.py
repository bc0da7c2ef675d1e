"""The workflows of LaDTalk: new speech for existing video, and texture for any."""

from __future__ import annotations

from .graph import Graph, Info, Node, Out
from .parts import REPLIES, TWO_PEOPLE, components, find, footage, landmarks, save, speech, stored


def ladtalk_dub(info: Info) -> Graph:
    """Footage and another sound to footage that says the sound, step by step."""
    graph = Graph("ladtalk_dub", "05 New speech for a video", info)
    model, video, sound = _given(graph, duration=4.0)
    graph.group("2. Find the face · 检测人脸", (340, 70), (550, 590))
    parts = components(graph, (360, 150), video)
    track = find(graph, (620, 150), parts)
    graph.group("3. New words · 新台词", (930, 70), (290, 400))
    says = {"images": parts["images"], "face_track": track["face_track"], "audio": sound["audio"]}
    dubbed = _say(graph, (950, 150), model, **says)
    landmarks(graph, (930, 500), track)
    graph.group("4. Texture · 纹理", (1260, 70), (290, 500))
    sharp = _enhance(graph, (1280, 150), model, dubbed["images"], face_track=dubbed["face_track"], mask=dubbed["mask"])
    save(graph, (1590, 70), sharp["images"], parts["fps"], sound["audio"], number=5)
    graph.notes((340, 910), (775, 220))
    return graph


def ladtalk_dub_long(info: Info) -> Graph:
    """One node that streams a dubbed video to disk, however long it is."""
    graph = Graph("ladtalk_dub_long", "06 New speech for a long video", info)
    model, video, sound = _given(graph)
    graph.group("2. Dub, straight to disk · 配音并写入磁盘", (360, 0), (460, 790))
    given = {"wav2lip": model["wav2lip"], "sovqae": model["sovqae"], "video": video["video"], "audio": sound["audio"]}
    dubbed = graph.add("TalkFaceDubVideo", (380, 80), (420, 690), **given)
    graph.group("3. Save · 保存", (880, 0), (290, 430))
    stored(graph, (900, 80), dubbed)
    graph.notes((880, 490), (520, 190), below=True)
    return graph


def sovqae_enhance_any_video(info: Info) -> Graph:
    """Soft footage to footage whose face is sharper, whatever it came from."""
    graph = Graph("sovqae_enhance_any_video", "08 Sharper face in any video", info)
    graph.group("1. Soft footage · 模糊素材", (0, 0), (300, 650))
    model = graph.add("TalkFaceLoadLaDTalk", (20, 80), (260, 102))
    video = footage(graph, 250)
    graph.group("2. Find the face · 检测人脸", (340, 70), (860, 590))
    parts = components(graph, (360, 150), video)
    soft = graph.add("ImageBlur", (620, 150), (220, 82), image=parts["images"], blur_radius=3, sigma=0.3)
    track = find(graph, (920, 150), parts, soft["IMAGE"])
    graph.group("3. Restore texture · 恢复纹理", (1240, 70), (290, 500))
    sharp = _enhance(graph, (1260, 150), model, soft["IMAGE"], face_track=track["face_track"], region="face")
    landmarks(graph, (1240, 610), track)
    save(graph, (1580, 0), sharp["images"], parts["fps"], parts["audio"], number=4)
    graph.group("Report · 报告", (1580, 770), (290, 250))
    graph.add("PreviewAny", (1610, 850), (230, 150), source=sharp["report"])
    graph.notes((0, 780), (570, 210))
    return graph


def ladtalk_two_people(info: Info) -> Graph:
    """Two people in one film, each of whom says something else: the chain, once for each."""
    graph = Graph("ladtalk_two_people", "07 New speech for two people", info)
    graph.group("1. Footage, two sounds · 素材和两段声音", (0, 0), (300, 1110))
    model = graph.add("TalkFaceLoadLaDTalk", (20, 80), (260, 102))
    video = footage(graph, 240, TWO_PEOPLE, height=320)
    sounds = [speech(graph, (20, top), name) for top, name in zip((620, 884), REPLIES, strict=True)]
    parts = components(graph, (360, 150), video)
    graph.group("2. Footage · 素材", (340, 70), (240, 206))
    images = parts["images"]
    who = ("3. The left one speaks · 左边的人", "4. The right one speaks · 右边的人")
    choice: tuple[dict[str, object], ...] = ({"face": "leftmost"}, {"face": "index", "index": 1})
    for top, title, chosen, sound in zip((70, 590), who, choice, sounds, strict=True):
        graph.group(title, (620, top), (930, 480))
        track = find(graph, (640, top + 80), parts, height=380, **chosen)
        says = {"images": images, "face_track": track["face_track"], "audio": sound["audio"], "length": "once"}
        dubbed = _say(graph, (960, top + 80), model, height=160, **says)
        graph.add("PreviewImage", (960, top + 290), (250, 170), images=track["preview"])
        painted = {"face_track": dubbed["face_track"], "mask": dubbed["mask"]}
        sharp = _enhance(graph, (1280, top + 80), model, dubbed["images"], height=380, **painted)
        images = sharp["images"]
    both = {"audio1": sounds[0]["audio"], "audio2": sounds[1]["audio"], "merge_method": "add"}
    graph.group("5. Both sounds · 合并声音", (340, 900), (240, 206))
    merged = graph.add("AudioMerge", (360, 980), (200, 106), **both)
    save(graph, (1590, 70), images, parts["fps"], merged["AUDIO"], number=6)
    graph.notes((0, 1180), (930, 180))
    return graph


def _given(graph: Graph, duration: float = 0.0) -> tuple[Node, Node, Node]:
    """What the user gives: networks, footage and new speech."""
    graph.group("1. Input · 输入", (0, 0), (300, 900))
    model = graph.add("TalkFaceLoadLaDTalk", (20, 80), (260, 102))
    return model, footage(graph, 250), speech(graph, (20, 670), duration=duration)


def _say(graph: Graph, at: tuple[int, int], model: Node, height: int = 300, **says: Out | str) -> Node:
    """The mouth repainted to the sound."""
    return graph.add("TalkFaceWav2Lip", at, (250, height), wav2lip=model["wav2lip"], **says)


def _enhance(graph: Graph, at: tuple[int, int], model: Node, images: Out, height: int = 400, **given: object) -> Node:
    """Its texture restored."""
    given = {"sovqae": model["sovqae"], "images": images, **given}
    return graph.add("TalkFaceSOVQAEEnhance", at, (250, height), **given)
