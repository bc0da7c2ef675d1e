"""The published size of every system, with random weights on the CPU: it loads, makes one frame, and is freed.

Minutes of work and gigabytes of files, so only where it is asked for: with TALKFACE_BASE=1 in the environment.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from talkface_core.checkpoints import save_checkpoint
from talkface_core.components import Table
from talkface_core.dae_talker import model as dae_talker
from talkface_core.ladtalk import model as ladtalk
from talkface_core.landmark_diffusion import model as landmark_diffusion
from talkface_core.landmark_diffusion.latent_space import STABLE_DIFFUSION
from talkface_core.see_the_speaker import model as see_the_speaker

from .inside import run_inside
from .media import talk
from .server import ROOT, Host

pytestmark = pytest.mark.skipif(not os.environ.get("TALKFACE_BASE"), reason="minutes of work: set TALKFACE_BASE=1")

MIB = 2**20

BEFORE = """
import gc, time
import psutil
from comfy_api.latest import InputImpl
started = time.process_time()
film = InputImpl.VideoFromFile(os.path.join(base, "input", "film.mp4"))
images = film.get_components().images[:1]
audio = NODES["LoadAudio"].execute("talk.wav", 0.2, 0.04)[0]
voice = NODES["LoadAudio"].execute("talk.wav", 0.2, 1.2)[0]
face = {"face": "largest", "index": 0, "x": 0, "y": 0}

def rss():
    gc.collect()
    return psutil.Process().memory_info().rss

def node(name, **inputs):
    return NODES[name].execute(**inputs).result

track, _, _ = node("DetectFaces", images=images, smoothing=0.3, fps=25.0, preview_every=1, **face,
                   detector="bundled", threshold=0.5)
before = rss()

def run():
"""

AFTER = """
    return [value.float() for value in made], rss()

made, loaded = run()
shapes, finite = [list(value.shape) for value in made], all(bool(value.isfinite().all()) for value in made)
del made
mm.unload_all_models()
mm.cleanup_models()
mm.soft_empty_cache()
report({"before": before, "loaded": loaded, "after": rss(), "shapes": shapes, "finite": finite,
        "seconds": time.process_time() - started})
"""

RUNS = {
    "dae_talker": """
    speech, dae, _ = node("LoadDAETalker", checkpoint="base.safetensors", dtype="float32")
    latents, _, _ = node("Speech2Latent", speech2latent=speech, audio=audio, fps=25.0, pose_strength=1.0,
                         head_motion=1.0, expression=1.0, idle=True, seed=3)
    frames, = node("DAEDecode", dae=dae, latents=latents, sampler="ddim", steps=1, seed=3, window=0)
    made = [latents.values, frames]
""",
    "ladtalk": """
    wav2lip, sovqae = node("LoadLaDTalk", checkpoint="base.safetensors", dtype="float32")
    lips, own, *_ = node("Wav2Lip", wav2lip=wav2lip, images=images, face_track=track, audio=audio, length="stop")
    sharp, _ = node("SOVQAEEnhance", sovqae=sovqae, images=lips, face_track=own, strength=1.0, region="face", window=1,
                    look_at=0)
    made = [lips, sharp]
""",
    "landmark_diffusion": """
    import comfy.sd
    core = of_pack("talkface_core.landmark_diffusion.kl_autoencoder")
    vae = comfy.sd.VAE(sd=core.KLAutoencoder().state_dict(), dtype=torch.float32)
    completion, talkformer = node("LoadLandmarkDiffusion", checkpoint="base.safetensors", dtype="float32", vae=vae)
    goal, *_ = node("LandmarkComplete", completion=completion, face_track=track, images=images, audio=audio,
                    length="stop", strength=1.0, smoothing=0.0, preview_every=1)
    painted, *_ = node("TalkFormerSampler", talkformer=talkformer, images=images, face_track=track, goal=goal,
                       sampler="ddim", steps=1, seed=3, guidance=1.0, window=1)
    made = [goal.landmarks, painted]
""",
    "see_the_speaker": """
    _, _, draws = node("LoadSeeTheSpeaker", checkpoint="base.safetensors", dtype="float32")
    _, moves, _ = node("LoadSeeTheSpeaker", checkpoint="motion.safetensors", dtype="float32")
    heard = {"encoded_audio": torch.rand(1, 1, 768)}
    motion, _, _ = node("SpeechToMotion", motion_model=moves, audio=audio, audio_encoder_output=heard, seed=3, fps=25.0,
                        head_motion=1.0, expression=1.0, blink=1.0, blink_rate=-1.0, gaze_right=0.0, gaze_down=0.0,
                        guidance=0.0, steps=1)
    frames, = node("RenderMotion", hrtf=draws, image=images, motion=motion, region="picture", fidelity=-1.0, window=1)
    made = [motion.motion.values(), frames]
""",
    "see_the_speaker portraits": """
    imagines, _, _ = node("LoadSeeTheSpeaker", checkpoint="portrait.safetensors", dtype="float32")
    portrait, = node("SpeechToPortrait", portrait_model=imagines, audio=voice, guidance=1.0, steps=1, seed=3,
                     prior="adaptive", prior_weight=1.0)
    made = [portrait]
""",
}


def random_checkpoint(path: Path, system: str, components: Table, **changes: dict[str, Any]) -> int:
    """A checkpoint of the named components in the published size with small random weights; bytes of them in float32.

    changes: settings of a component other than its preset's.
    """
    modules, configs = {}, {}
    for name, changed in changes.items():
        config = replace(components[name].config.preset("base"), **changed)
        with torch.device("meta"):
            module = components[name].network(config, nn).half()
        module.to_empty(device="cpu")
        for key, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5) if key.endswith("running_var") else tensor.uniform_(-0.02, 0.02)
            else:
                tensor.zero_()
        modules[name], configs[name] = module, config.to_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, system, modules, configs, {"data": "none", "licence": "none"})
    return 2 * path.stat().st_size


def checkpoints(folder: Path, system: str) -> int:
    """Those that a run of `RUNS` loads; bytes of their weights in float32."""
    base = folder / "base.safetensors"
    if system == "dae_talker":
        return random_checkpoint(base, system, dae_talker.COMPONENTS, autoencoder={}, speech2latent={"latent_dim": 512})
    if system == "ladtalk":  # texture by RestoreFormer++'s layout
        asking = (False, False, False, False, True, True)
        restorer = {"taming": True, "heads": 4, "guided": asking, "framing": "ffhq"}
        return random_checkpoint(base, system, ladtalk.COMPONENTS, wav2lip={}, sovqae=restorer)
    if system == "landmark_diffusion":
        published = {"boxed": True, "track": "ibug68"}
        painting = {"space": STABLE_DIFFUSION}
        return random_checkpoint(base, system, landmark_diffusion.COMPONENTS, completion=published, talkformer=painting)
    parts, name = see_the_speaker.COMPONENTS, "see_the_speaker"
    if system != name:
        return random_checkpoint(
            folder / "portrait.safetensors", name, parts, speech_encoder={}, portrait_space={}, portrait={}
        )
    # Drawing and motion come in two files, as LivePortrait's and JoyVASA's do.
    drawing = random_checkpoint(base, name, parts, renderer={})
    return drawing + random_checkpoint(folder / "motion.safetensors", name, parts, motion={})


@pytest.mark.parametrize("system", RUNS)
def test_the_published_size_loads_runs_and_is_freed(
    host: Host, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    # Free memory goes back at once, so that what the process holds is what is in use.
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(MIB))
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", str(MIB))
    (tmp_path / "input").mkdir()
    talk(tmp_path / "input" / "talk.wav", 2.0)
    (tmp_path / "input" / "film.mp4").write_bytes((ROOT / "samples" / "ada.mp4").read_bytes())
    weights = checkpoints(tmp_path / "models" / "talkface", system)
    seen = run_inside(host, pack, tmp_path, BEFORE + RUNS[system] + AFTER)
    sizes = [round(seen[when] / MIB) for when in ("before", "loaded", "after")]
    print(f"{system}: {weights / MIB:.0f} MiB of weights; the host held {sizes} MiB; {seen['seconds']:.0f} s of CPU")
    assert seen["finite"], seen["shapes"]
    assert seen["loaded"] - seen["before"] > 0.8 * weights, "it was not loaded: the test shows nothing"
    assert seen["loaded"] - seen["after"] > 0.8 * (seen["loaded"] - seen["before"])
