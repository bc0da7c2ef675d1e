"""The workflows of DAE-Talker: speech to latents of its autoencoder, and latents to frames."""

from __future__ import annotations

from .graph import GREEN, Graph, Info, Node, Out
from .parts import components, footage, save, speech, stored

DIFFDUB, HUBERT = "diffdub.safetensors", "chinese-hubert-large.safetensors"
"""What the files of `dub_any_face` are called: as `models --fetch` and their authors call them."""

KEYFRAMES = "0: 0, 0, 0\n1.5: 13, 0, 0\n3: -13, 0, 0\n4.5: 0, 6, 0\n6: 0, -6, 5\n7.5: 0, 0, 0"


def dae_talker(info: Info) -> Graph:
    """Speech to latents to frames to a video file."""
    graph = Graph("dae_talker", "01 Speech to talking face", info)
    model, sound = given(graph)
    latents, frames = talk(graph, model, sound)
    save(graph, (1000, 0), frames["frames"], latents["fps"], sound["audio"])
    graph.notes((0, 830), (635, 200))
    return graph


def dae_talker_long(info: Info) -> Graph:
    """One node that streams speech to a video file, however long it is."""
    graph = Graph("dae_talker_long", "02 Long speech to talking face", info)
    model, sound = given(graph)
    graph.group("2. Draw, straight to disk · 生成并写入磁盘", (360, 0), (460, 700))
    parts = {"speech2latent": model["speech2latent"], "dae": model["dae"], "audio": sound["audio"]}
    video = graph.add("TalkFaceTalkingVideo", (380, 80), (420, 600), **parts)
    graph.group("3. Save · 保存", (880, 0), (290, 430))
    stored(graph, (900, 80), video)
    graph.notes((0, 780), (575, 190))
    return graph


def dae_talker_pose(info: Info) -> Graph:
    """The same with a head that moves as the user says."""
    graph = Graph("dae_talker_pose", "03 Talking face, head by keyframes", info)
    model, sound = given(graph, room=300)
    pose = graph.add("TalkFaceHeadPose", (20, 510), (260, 250), GREEN, keyframes=KEYFRAMES)
    latents, frames = talk(graph, model, sound, head_pose=pose["head_pose"])
    save(graph, (1000, 0), frames["frames"], latents["fps"], sound["audio"])
    graph.notes((0, 850), (635, 240))
    return graph


def dub_any_face(info: Info) -> Graph:
    """New speech for anybody's video by DiffDub's weights, which are the user's: no bundled ones can do it."""
    graph = Graph("dub_any_face", "Dub any face with DiffDub", info)
    graph.group("1. Given · 素材和权重", (0, 0), (300, 1060))
    model = graph.add("TalkFaceLoadDAETalker", (20, 80), (260, 102), checkpoint=DIFFDUB)
    encoder = graph.add("AudioEncoderLoader", (20, 240), (260, 58), audio_encoder_name=HUBERT)
    sound, video = speech(graph, (20, 356)), footage(graph, 640)
    heard = {"audio_encoder": encoder["AUDIO_ENCODER"], "audio": sound["audio"]}
    features = graph.add("AudioEncoderEncode", (370, 80), (230, 46), **heard)
    graph.group("2. Hear · 聆听", (350, 0), (270, 160))
    graph.group("3. Dub, straight to disk · 配音并写入磁盘", (670, 0), (460, 790))
    given = {"speech2lips": model["speech2lips"], "dae": model["dae"], "video": video["video"]}
    given |= {"audio": sound["audio"], "audio_encoder_output": features["AUDIO_ENCODER_OUTPUT"]}
    dubbed = graph.add("TalkFaceDubVideoDAE", (690, 80), (420, 690), **given)
    graph.group("4. Save · 保存", (1180, 0), (290, 430))
    stored(graph, (1200, 80), dubbed)
    graph.notes((1180, 490), (560, 260), below=True)
    return graph


def dae_talker_reconstruct(info: Info) -> Graph:
    """Footage to latents and back: what the model keeps of a face."""
    graph = Graph("dae_talker_reconstruct", "10 Face to latents and back", info)
    graph.group("1. Model and footage · 模型和素材", (0, 0), (300, 650))
    model = graph.add("TalkFaceLoadDAETalker", (20, 80), (260, 102))
    video = footage(graph, 250)
    graph.group("2. Frames to latents and back · 画面到潜变量再返回", (340, 70), (900, 530))
    parts = components(graph, (360, 150), video)
    read = {"dae": model["dae"], "images": parts["images"], "fps": parts["fps"]}
    latents = graph.add("TalkFaceDAEEncode", (620, 150), (240, 80), **read)
    frames = graph.add("TalkFaceDAEDecode", (920, 150), (300, 430), dae=model["dae"], latents=latents["latents"])
    save(graph, (1280, 70), frames["frames"], parts["fps"], parts["audio"])
    graph.notes((0, 880), (790, 190))
    return graph


def given(
    graph: Graph, room: int = 0, at: tuple[int, int] = (0, 0), number: int = 1, duration: float = 0.0
) -> tuple[Node, Node]:
    """What the user gives: speaker and speech."""
    left, top = at
    graph.group(f"{number}. Input · 输入", at, (300, 480 + room))
    model = graph.add("TalkFaceLoadDAETalker", (left + 20, top + 80), (260, 102))
    return model, speech(graph, (left + 20, top + 250), duration=duration)


def talk(
    graph: Graph, model: Node, sound: Node, at: tuple[int, int] = (340, 70), number: int = 2, **more: Out
) -> tuple[Node, Node]:
    """Speech to latents, latents to frames."""
    left, top = at
    graph.group(f"{number}. Speech to frames · 语音生成画面", at, (620, 540))
    hears = {"speech2latent": model["speech2latent"], "audio": sound["audio"], **more}
    latents = graph.add("TalkFaceSpeech2Latent", (left + 20, top + 80), (270, 262), **hears)
    draws = {"dae": model["dae"], "latents": latents["latents"]}
    return latents, graph.add("TalkFaceDAEDecode", (left + 340, top + 80), (260, 430), **draws)
