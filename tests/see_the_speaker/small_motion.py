"""Small motion models with weights drawn at random, and sounds for them."""

from pathlib import Path

import torch
from torch import Tensor

from talkface_core.acoustic.model import ACOUSTIC, AcousticConfig, AcousticModel
from talkface_core.checkpoints import save_checkpoint
from talkface_core.media.audio import AudioSource, audio_source
from talkface_core.see_the_speaker.controls import OPENING
from talkface_core.see_the_speaker.lip_refinement import LipRefinement, LipRefinementConfig
from talkface_core.see_the_speaker.motion_diffusion import MOTION, MotionConfig, MotionDiffusion, MotionSampling
from talkface_core.see_the_speaker.motion_stream import MotionModel
from talkface_core.see_the_speaker.prosody import Prosody
from talkface_core.see_the_speaker.system import SYSTEM

KEYPOINTS, WIDTH = 5, 16


def small_acoustic() -> AcousticModel:
    config = AcousticConfig(front_width=8, width=WIDTH, heads=2, ff=16, blocks=1, kernel=3, context=3, max_distance=8)
    return AcousticModel(config).eval()


def small_diffusion(**changes: object) -> MotionDiffusion:
    sizes = {"keypoints": KEYPOINTS, "audio": WIDTH + Prosody.dim, "frames": 12, "previous": 4, "width": 16}
    layers = {"heads": 2, "layers": 2, "ff": 24, "sampling": MotionSampling(steps=3)}
    net = MotionDiffusion(MotionConfig(**{**sizes, **layers, **changes})).eval()  # type: ignore[arg-type]
    if net.controls.names:
        net.mean[0] = 2.0  # a mouth that is open most of the time
        # Each control is a coordinate of its own.
        net.controls.fit(
            known := torch.randn(400, net.config.keypoints, 3), known.flatten(1)[:, : len(net.controls.names)]
        )
    return net


def small_model(lips: bool = False) -> MotionModel:
    torch.manual_seed(0)
    refinement = None
    if lips:
        config = LipRefinementConfig(keypoints=KEYPOINTS, audio=WIDTH + Prosody.dim, width=8, heads=2, ff=8)
        refinement = LipRefinement(config).eval()
    return MotionModel(small_diffusion(), small_acoustic(), None, refinement).requires_grad_(False)


def sound(seconds: float = 2.0, pitch: float = 150.0, rate: int = 16000, loud: float = 0.3) -> Tensor:
    """Something like a vowel, whose loudness comes and goes."""
    t = torch.arange(int(seconds * rate)) / rate
    wave = sum(torch.sin(2 * torch.pi * pitch * k * t) / k for k in range(1, 8))
    return loud * wave * (0.6 + 0.4 * torch.sin(2 * torch.pi * 3 * t))


def source(wave: Tensor) -> AudioSource:
    return audio_source({"waveform": wave[None, None], "sample_rate": 16000})


def save_small_motion(path: Path) -> Path:
    """A checkpoint of a motion model, and what it hears by, whose mouth is the first keypoint."""
    torch.manual_seed(0)
    net, acoustic = small_diffusion(keypoints=21, controls=(OPENING,)), small_acoustic()
    parts = {MOTION.name: net, ACOUSTIC.name: acoustic}
    configs = {name: part.config.to_dict() for name, part in parts.items()}
    save_checkpoint(path, SYSTEM, parts, configs, {})
    return path
