"""The workflows of LaDTalk: new speech for existing video, and texture for any."""

from __future__ import annotations

from .graph import BLUE, GREEN, Graph, Info, Node, Out
from .parts import FOOTAGE, REPLIES, SPEECH, TWO_PEOPLE, save


def ladtalk_dub(info: Info) -> Graph:
    """Footage and another sound to footage that says the sound, step by step."""
    graph = Graph("ladtalk_dub", info)
    model, video, speech = _given(graph, duration=4.0)
    graph.group("2. Find the face", (380, 0), (360, 830))
    parts = graph.add("GetVideoComponents", (400, 80), (320, 106), video=video["video"])
    track = _find(graph, (400, 270), parts)
    graph.group("3. New words, then texture", (760, 0), (360, 830))
    says = {"images": parts["images"], "face_track": track["face_track"], "audio": speech["audio"]}
    dubbed = graph.add("TalkFaceWav2Lip", (780, 80), (320, 400), wav2lip=model["wav2lip"], **says)
    sharp = _enhance(graph, (780, 560), model, dubbed["images"], dubbed["face_track"])
    save(graph, (1140, 0), sharp["images"], dubbed["fps"], speech["audio"], number=4)
    graph.note(
        (1140, 590),
        (630, 250),
        "New speech for a video",
        "1. **Load Video**: footage of a face. **Load Audio**: what it is to say.\n"
        "2. Press **Run**.\n"
        "3. The video appears in **Save Video** and in `output/talkface`: same size, same rate, other words.\n\n"
        "**Detect Faces** follows the face, **Wav2Lip** repaints its mouth, **SOVQAE Enhance** gives back fine "
        "texture. All else in the frames stays, pixel by pixel.\n\n"
        "**Sound longer than the video?** `length` in *Wav2Lip*: *bounce* plays the footage to and fro, *stop* ends "
        "with the shorter of the two, *once* plays the footage once.\n\n"
        "**Minutes or hours**: template *ladtalk_dub_long*. **Two people**: *ladtalk_two_people*. Dub only people who "
        "agree to it.",
    )
    return graph


def ladtalk_dub_long(info: Info) -> Graph:
    """One node that streams a dubbed video to disk, however long it is."""
    graph = Graph("ladtalk_dub_long", info)
    model, video, speech = _given(graph)
    graph.group("2. Dub, straight to disk", (380, 0), (360, 790))
    parts = {"wav2lip": model["wav2lip"], "sovqae": model["sovqae"], "video": video["video"], "audio": speech["audio"]}
    dubbed = graph.add("TalkFaceDubVideo", (400, 80), (320, 690), **parts)
    graph.group("3. Save", (760, 0), (360, 530))
    target = {"video": dubbed["video"], "filename_prefix": f"talkface/{graph.name}"}
    graph.add("SaveVideo", (780, 80), (320, 430), BLUE, **target)
    graph.note(
        (760, 590),
        (360, 320),
        "Any length of video",
        "**Dub Video** reads the footage from disk: first it follows the face, then it writes the new frames as "
        "they are made. An hour needs little more memory than a minute.\n\n"
        "1. **Load Video** and **Load Audio**: footage, and what it is to say.\n"
        "2. Press **Run**. The newest frame is shown while it works; cancelling stops it at once.\n"
        "3. The video appears in **Save Video** and in `output/talkface`, marked as synthetic.\n\n"
        "`match_texture` makes mouths as sharp as the footage is. Dub only people who agree to it.",
    )
    return graph


def sovqae_enhance_any_video(info: Info) -> Graph:
    """Soft footage to footage whose face is sharper, whatever it came from."""
    graph = Graph("sovqae_enhance_any_video", info)
    graph.group("1. Model and soft footage", (0, 0), (360, 990))
    model = graph.add("TalkFaceLoadLaDTalk", (20, 80), (320, 102))
    video = graph.add("TalkFaceLoadVideo", (20, 260), (320, 400), GREEN, file=FOOTAGE)
    parts = graph.add("GetVideoComponents", (20, 730), (320, 106), video=video["video"])
    soft = graph.add("ImageBlur", (20, 890), (320, 82), image=parts["images"], blur_radius=3, sigma=0.3)
    graph.group("2. Find the face", (380, 0), (360, 830))
    track = _find(graph, (400, 80), parts, soft["IMAGE"])
    graph.group("3. Restore its texture", (760, 0), (360, 830))
    sharp = _enhance(graph, (780, 80), model, soft["IMAGE"], track["face_track"], region="face")
    graph.add("PreviewAny", (780, 420), (320, 390), source=sharp["report"])
    save(graph, (1140, 0), sharp["images"], parts["fps"], parts["audio"], number=4)
    graph.note(
        (1140, 590),
        (630, 240),
        "Texture for any video of a face",
        "**SOVQAE Enhance** takes the soft face of any footage to codes, and draws it again from these: lip syncs, old "
        "or small video, other generators.\n\n"
        "*ImageBlur* only softens the sample: take it out and connect your own soft footage.\n\n"
        "**Preview Any** (in newer ComfyUI *Preview as Text*) shows the report: how much noise the codes stand, and "
        "whether the mouth kept its shape. If it did not, lower `strength`.\n\n"
        "Without a `face_track`, images are taken for faces themselves, as *Crop Face* makes them. A `mask` holds the "
        "change to a part of the frame.",
    )
    return graph


def ladtalk_two_people(info: Info) -> Graph:
    """Two people in one film, each of whom says something else: the chain, once for each."""
    graph = Graph("ladtalk_two_people", info)
    graph.group("1. Footage, and a sound for each", (0, 0), (360, 1280))
    model = graph.add("TalkFaceLoadLaDTalk", (20, 80), (320, 102))
    video = graph.add("TalkFaceLoadVideo", (20, 260), (320, 400), GREEN, file=TWO_PEOPLE)
    sounds = [
        graph.add("TalkFaceLoadAudio", (20, top), (320, 204), GREEN, audio=name)
        for top, name in zip((740, 1016), REPLIES, strict=True)
    ]
    graph.group("2. Find both faces", (380, 0), (360, 1400))
    parts = graph.add("GetVideoComponents", (400, 80), (320, 106), video=video["video"])
    tracks = [_find(graph, (400, 270), parts, face="leftmost"), _find(graph, (400, 850), parts, face="index", index=1)]
    images, fps = parts["images"], parts["fps"]
    for turn, (track, sound, who) in enumerate(zip(tracks, sounds, ("The left one", "The right one"), strict=True)):
        left = 760 + 380 * turn
        graph.group(f"{turn + 3}. {who} speaks", (left, 0), (360, 830))
        says = {"images": images, "face_track": track["face_track"], "audio": sound["audio"], "length": "once"}
        dubbed = graph.add("TalkFaceWav2Lip", (left + 20, 80), (320, 400), wav2lip=model["wav2lip"], **says)
        sharp = _enhance(graph, (left + 20, 560), model, dubbed["images"], dubbed["face_track"])
        images, fps = sharp["images"], dubbed["fps"]
    both = {"audio1": sounds[0]["audio"], "audio2": sounds[1]["audio"], "merge_method": "add"}
    graph.group("5. Both sounds", (1140, 850), (360, 220))
    merged = graph.add("AudioMerge", (1160, 930), (320, 106), **both)
    save(graph, (1520, 0), images, fps, merged["AUDIO"], number=6)
    graph.note(
        (1520, 590),
        (630, 250),
        "Two people, each with a sound of their own",
        "The chain of *ladtalk_dub* runs twice: first for the leftmost face, then, in the frames that this gave, for "
        "the face with index 1 from the left.\n\n"
        "1. **Load Audio**, upper: what the left one says; lower: what the right one says. Silence in a sound keeps "
        "that mouth shut, so people can take turns.\n"
        "2. **Merge Audio** lays both over each other for the video; the second is cut or padded to the length of the "
        "first.\n"
        "3. Press **Run**.\n\n"
        "`length` is *once* for both, so that the second finds the frames that its face was tracked in. Dub only "
        "people who agree to it.",
    )
    return graph


def _given(graph: Graph, duration: float = 0.0) -> tuple[Node, Node, Node]:
    """What the user gives: networks, footage and new speech."""
    graph.group("1. Footage and new speech", (0, 0), (360, 1000))
    model = graph.add("TalkFaceLoadLaDTalk", (20, 80), (320, 102))
    video = graph.add("TalkFaceLoadVideo", (20, 260), (320, 400), GREEN, file=FOOTAGE)
    inputs = {"audio": SPEECH, "duration": duration}
    return model, video, graph.add("TalkFaceLoadAudio", (20, 740), (320, 204), GREEN, **inputs)


def _find(graph: Graph, at: tuple[int, int], parts: Node, images: Out | None = None, **choice: object) -> Node:
    """The face, followed through the footage."""
    inputs = {"images": images or parts["images"], "fps": parts["fps"], "preview_every": 5, **choice}
    return graph.add("TalkFaceDetectFaces", at, (320, 540), **inputs)


def _enhance(graph: Graph, at: tuple[int, int], model: Node, images: Out, track: Out, **settings: object) -> Node:
    """Its texture restored."""
    given = {"sovqae": model["sovqae"], "images": images, "face_track": track, **settings}
    return graph.add("TalkFaceSOVQAEEnhance", at, (320, 250), **given)
