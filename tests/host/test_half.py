"""Every node in half precision, as a host with a GPU chooses it, against float32; and what is loaded together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .inside import run_inside
from .media import talk
from .server import ROOT, Host

CLOSE = 64.0
LEAST = {
    **{"DAEDecode": 56.0, "TalkingVideo": 36.0, "DubVideo": 46.0},
    "DubVideoLandmarks": 47.0,
    **{"SpeechToPortrait": 54.0, "TalkingVideoFromVoice": 38.0, "AnimatePortrait": 38.0},
}
"""Least closeness to float32 in dB, 6 below what was measured; videos are read back from compressed ones."""

WITHOUT_PIXELS = {
    *("LoadAudio", "LoadVideo", "LoadImage", "MarkSynthetic"),
    *("LoadDAETalker", "LoadLaDTalk", "LoadLandmarkDiffusion", "LoadSeeTheSpeaker"),
}
"""Nodes that neither compute nor take frames."""

MEASURES = {"EvaluateClip", "TrainPerson"}
"""Nodes that measure and train on frames in types of their own: see test_evaluate.py and test_personalise.py."""

BROUGHT = {"DubVideoDAE"}
"""Nodes for weights that a user brings: see test_encoder.py, and tests/dae_talker for its halves."""

SCRIPT = """
from comfy_api.latest import InputImpl
loads, load_models = [], mm.load_models_gpu

def load_models_gpu(models, *args, **options):
    networks = [getattr(one.model, "network", one.model) for one in models]
    loads.append(sorted(type(one).__name__ for one in networks))
    return load_models(models, *args, **options)

mm.load_models_gpu = load_models_gpu
film = InputImpl.VideoFromFile(os.path.join(base, "input", "film.mp4"))
audio = NODES["LoadAudio"].execute("talk.wav", 1.0, 0.16)[0]
voice = NODES["LoadAudio"].execute("talk.wav", 0.2, 1.2)[0]
# Bytes, which half precision tells apart: else the detector would see another picture, a level off here and there.
pictures = (film.get_components().images[:4] * 255).round() / 255
face = {"face": "largest", "index": 0, "x": 0, "y": 0}
found = {"detector": "bundled", "threshold": 0.5}
spoken = {"fps": 25.0, "pose_strength": 1.0, "head_motion": 1.0, "expression": 1.0, "idle": True, "seed": 3}
drawn = {"sampler": "model's own", "steps": 2}

def run(dtype):
    values, together = {}, {}

    def node(name, **inputs):
        loads.clear()
        result = NODES[name].execute(**inputs).result
        together[name] = list(loads)
        return result

    # Such are the frames that a host hands on which keeps them in half precision; in bfloat16 none does.
    images = pictures.half() if dtype == "float16" else pictures
    looked = {"smoothing": 0.3, "fps": 25.0, "preview_every": 1}
    track, values["DetectFaces"], _ = node("DetectFaces", images=images, **looked, **face, **found)
    faces, crop = node("CropFace", images=images, face_track=track, size=96)
    pasted = node("PasteFace", images=images, faces=1 - faces, face_crop=crop, feather=0.06, match_colour=True)
    values["CropFace"], (values["PasteFace"], values["PasteFace mask"]) = faces, pasted
    pose, = node("HeadPose", yaw=0.0, pitch=0.0, roll=0.0, keyframes="", face_track=track)
    values["HeadPose"] = pose.at(4, 25).float() / 90

    speech, dae, _ = node("LoadDAETalker", checkpoint="dae_talker_tiny", dtype=dtype)
    latents, _, _ = node("Speech2Latent", speech2latent=speech, audio=audio, **spoken)
    values["Speech2Latent"] = latents.values
    encoded, = node("DAEEncode", dae=dae, images=images, fps=25.0)
    values["DAEEncode"] = encoded.values
    values["DAEDecode"], = node("DAEDecode", dae=dae, latents=latents, seed=3, window=0, **drawn)
    video, = node("TalkingVideo", speech2latent=speech, dae=dae, audio=audio, **spoken, **drawn)
    values["TalkingVideo"] = video.get_components().images

    wav2lip, sovqae = node("LoadLaDTalk", checkpoint="ladtalk_tiny", dtype=dtype)
    lips, own, *_ = node("Wav2Lip", wav2lip=wav2lip, images=images, face_track=track, audio=audio, length="bounce")
    values["Wav2Lip"] = lips
    settings = {"strength": 1.0, "region": "mouth", "window": 8, "look_at": 0}
    values["SOVQAEEnhance"] = node("SOVQAEEnhance", sovqae=sovqae, images=lips, face_track=own, **settings)[0]
    values["SOVQAEEnhance of faces"] = node("SOVQAEEnhance", sovqae=sovqae, images=faces, **settings)[0]
    video, = node("DubVideo", wav2lip=wav2lip, video=film, audio=audio, sovqae=sovqae, length="bounce", smoothing=0.3,
                  match_texture=False, strength=1.0, **face, **found)
    values["DubVideo"] = video.get_components().images

    completion, talkformer = node("LoadLandmarkDiffusion", checkpoint="landmark_tiny", dtype=dtype)
    wanted = {"audio": audio, "length": "bounce", "strength": 1.0}
    goal, values["LandmarkComplete"], *_ = node("LandmarkComplete", completion=completion, face_track=track,
                                                images=images, smoothing=0.0, preview_every=1, **wanted)
    _, values["AdjustMouth"] = node("AdjustMouth", goal=goal, strength=1.2, smoothing=0.5, shift=1, preview_every=1,
                                    images=images, face_track=track)
    sampling = {"sampler": "dpmpp_2m", "steps": 2, "seed": 3, "guidance": 1.0}
    values["TalkFormerSampler"], _, _, values["TalkFormerSampler mask"] = node(
        "TalkFormerSampler", talkformer=talkformer, images=images, face_track=track, goal=goal, window=0, **sampling)
    video, = node("DubVideoLandmarks", completion=completion, talkformer=talkformer, sovqae=sovqae, video=film,
                  smoothing=0.3, match_texture=False, **wanted, **sampling, **face, **found)
    values["DubVideoLandmarks"] = video.get_components().images

    imagines, moves, draws = node("LoadSeeTheSpeaker", checkpoint="see_the_speaker_tiny", dtype=dtype)
    prior = {"prior": "adaptive", "prior_weight": 1.0}
    values["SpeechToPortrait"], = node("SpeechToPortrait", portrait_model=imagines, audio=voice, guidance=2.0, steps=2,
                                       seed=3, hrtf=draws, **prior)
    style = {"fps": 25.0, "head_motion": 1.0, "expression": 1.0, "blink": 1.0, "blink_rate": -1.0, "gaze_right": 0.0}
    style["gaze_down"] = 0.0
    sampled = {"guidance": 0.0, "steps": 2}
    motion, _, _ = node("SpeechToMotion", motion_model=moves, audio=audio, seed=3, **style, **sampled)
    values["SpeechToMotion"] = motion.motion.values()
    values["RenderMotion"], = node("RenderMotion", hrtf=draws, image=images[:1], motion=motion, region="picture",
                                   fidelity=-1.0, window=0)
    video, values["TalkingVideoFromVoice image"] = node(
        "TalkingVideoFromVoice", portrait_model=imagines, motion_model=moves, hrtf=draws, audio=voice,
        portrait_guidance=2.0, portrait_steps=2, motion_guidance=0.0, motion_steps=2, fidelity=-1.0, seed=3, **prior,
        **style)
    values["TalkingVideoFromVoice"] = video.get_components().images
    video, = node("AnimatePortrait", motion_model=moves, hrtf=draws, image=images[:1], audio=audio, region="picture",
                  fidelity=-1.0, seed=3, **face, **found, **style, **sampled)
    values["AnimatePortrait"] = video.get_components().images
    return {name: value.double() for name, value in values.items()}, together

exact, together = run("float32")
closeness = {}
for dtype in ("float16", "bfloat16"):
    for name, value in run(dtype)[0].items():
        scale = exact[name].std() if "Latent" in name or "Encode" in name else 1.0
        error = ((value - exact[name]) / scale).square().mean()
        finite = bool(value.isfinite().all()) and value.shape == exact[name].shape
        closeness[f"{name} {dtype}"] = float(-10 * torch.log10(error.clamp(min=1e-12))) if finite else -1.0
report({"dB": closeness, "together": together, "nodes": sorted(NODES)})
"""


@pytest.fixture(scope="module")
def found(host: Host, pack: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How close half precision comes to float32, by node and type, and what each node loaded."""
    base = tmp_path_factory.mktemp("half")
    (base / "input").mkdir()
    talk(base / "input" / "talk.wav", 2.0)
    (base / "input" / "film.mp4").write_bytes((ROOT / "samples" / "ada.mp4").read_bytes())
    return run_inside(host, pack, base, SCRIPT)


def test_half_precision_shows_the_same(found: dict[str, Any]) -> None:
    missed = {name: near for name, near in found["dB"].items() if near < LEAST.get(name.split()[0], CLOSE)}
    assert missed == {}


def test_no_node_is_left_out(found: dict[str, Any]) -> None:
    assert set(found["nodes"]) - WITHOUT_PIXELS - MEASURES - BROUGHT == {name.split()[0] for name in found["dB"]}


def test_networks_that_work_together_are_loaded_together(found: dict[str, Any]) -> None:
    together = found["together"]
    assert together["TalkingVideo"] == [["DiffusionAutoencoder", "SpeechModel"]]
    assert together["SOVQAEEnhance"] == [["ModuleList", "SOVQAE"]]
    # The detector has done its work when mouths are painted.
    assert together["DubVideo"] == [["ModuleList"], ["SOVQAE", "Wav2LipModel"]]
    assert together["LandmarkComplete"] == [["CompletionModel"]]
    assert together["TalkFormerSampler"] == [["TalkFormerModel"]]
    assert together["DubVideoLandmarks"] == [["ModuleList"], ["CompletionModel", "SOVQAE", "TalkFormerModel"]]
    assert together["SpeechToPortrait"] == [["PortraitModel", "PortraitRenderer"]]
    assert together["SpeechToMotion"] == [["MotionModel"]]
    assert together["RenderMotion"] == [["ModuleList"], ["PortraitRenderer"]]
    assert together["TalkingVideoFromVoice"] == [["ModuleList", "MotionModel", "PortraitModel", "PortraitRenderer"]]
    assert together["AnimatePortrait"] == [["ModuleList"], ["MotionModel", "PortraitRenderer"]]
