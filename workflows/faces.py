"""The workflows of faces: one cut out, changed and put back; one whose head another follows."""

from __future__ import annotations

from .dae_talker import given, talk
from .graph import GREEN, Graph, Info
from .parts import components, find, footage, landmarks, save


def faces_follow(info: Info) -> Graph:
    """The speaker holds her head as somebody in a video does."""
    graph = Graph("faces_follow", "04 Talking face, head as in a video", info)
    graph.group("1. A head to follow · 要跟随的头部", (0, 0), (1080, 590))
    video = footage(graph, 80)
    parts = components(graph, (310, 80), video)
    track = find(graph, (550, 80), parts, smoothing=1.0)
    pose = graph.add("TalkFaceHeadPose", (850, 80), (220, 280), GREEN, face_track=track["face_track"])
    landmarks(graph, (820, 630), track, height=190)
    model, sound = given(graph, at=(0, 630), number=2, duration=3.0)
    latents, frames = talk(graph, model, sound, at=(1090, 0), number=3, head_pose=pose["head_pose"])
    save(graph, (1730, 0), frames["frames"], latents["fps"], sound["audio"], number=4)
    graph.notes((340, 990), (830, 190))
    return graph


def faces_crop_paste(info: Info) -> Graph:
    """A face cut out, changed and put back: here its mouth gets sharper."""
    graph = Graph("faces_crop_paste", "09 Change a face, keep the rest", info)
    graph.group("1. Footage · 素材", (0, 0), (530, 450))
    video = footage(graph, 80)
    parts = components(graph, (310, 80), video)
    graph.group("2. Find the face · 检测人脸", (550, 0), (290, 590))
    track = find(graph, (570, 80), parts)
    graph.group("3. Cut it out, change it, put it back · 裁切、修改、贴回", (860, 0), (760, 450))
    crop = graph.add("TalkFaceCropFace", (880, 80), (210, 350), images=parts["images"], face_track=track["face_track"])
    change = {"image": crop["faces"], "sharpen_radius": 2, "alpha": 0.3}
    sharp = graph.add("ImageSharpen", (1140, 80), (200, 130), **change)
    put = {"images": parts["images"], "faces": sharp["IMAGE"], "face_crop": crop["face_crop"]}
    done = graph.add("TalkFacePasteFace", (1390, 80), (210, 350), **put)
    landmarks(graph, (860, 490), track)
    measured = {"images": done["images"], "real": parts["images"], "fps": parts["fps"], "audio": parts["audio"]}
    graph.group("4. Beside the footage · 与素材比较", (1180, 790), (750, 510))
    told = graph.add("TalkFaceEvaluateClip", (1200, 870), (250, 150), **measured)
    graph.add("PreviewAny", (1510, 870), (400, 190), source=told["report"])
    graph.add("PreviewImage", (1510, 1100), (400, 180), images=told["plot"])
    save(graph, (1640, 0), done["images"], parts["fps"], parts["audio"], number=5)
    graph.notes((0, 870), (820, 200), below=True)
    return graph
