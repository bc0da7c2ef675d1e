"""A whole See the Speaker of random weights, for tests of the plumbing: its people are noise.

Portraits of 32 px, which the codebook brings to 64; heads are drawn at 64 px.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from talkface_core.checkpoints import save_checkpoint
from talkface_core.see_the_speaker.codebook import CodebookDecoder
from talkface_core.see_the_speaker.lip_refinement import LipRefinement, LipRefinementConfig
from talkface_core.see_the_speaker.motion_diffusion import MotionDiffusion
from talkface_core.see_the_speaker.prosody import Prosody
from talkface_core.see_the_speaker.renderer import HolisticRenderer
from talkface_core.see_the_speaker.system import SYSTEM
from tests.see_the_speaker.small_codebook import SMALL, small_decoder
from tests.see_the_speaker.small_motion import WIDTH, small_acoustic, small_diffusion
from tests.see_the_speaker.small_portrait import small_model as small_portrait
from tests.see_the_speaker.small_renderer import small_tiny, trained_looking

SIZE = 64
"""Side of its pictures, in pixels."""

PORTRAIT = ("speech_encoder", "portrait_space", "portrait")
"""The components without which it makes no portraits."""


def small_renderer(seed: int = 0) -> HolisticRenderer:
    """Keeps a picture as it is where nothing moves."""
    return trained_looking(small_tiny(SIZE), seed)


def small_codebook() -> CodebookDecoder:
    """32 px to 64."""
    sharp = replace(SMALL.autoencoder, image_size=SIZE, bypass=24, unseen=8)
    return small_decoder(replace(SMALL, autoencoder=sharp))


def small_motion(keypoints: int) -> MotionDiffusion:
    """Motion of a renderer's keypoints, no wilder than a face's."""
    torch.manual_seed(0)
    net = small_diffusion(keypoints=keypoints, controls=())
    whole = MotionDiffusion(replace(net.config, controls=type(net.config)().controls)).eval()
    whole.controls.fit(known := torch.randn(400, keypoints, 3), known.flatten(1)[:, : len(whole.controls.names)])
    whole.std.fill_(0.05)
    return whole


def small_lips(keypoints: int) -> LipRefinement:
    torch.manual_seed(0)
    audio = WIDTH + Prosody.dim
    return LipRefinement(LipRefinementConfig(keypoints=keypoints, audio=audio, width=8, heads=2, ff=8)).eval()


def save_small_see_the_speaker(path: Path, *without: str, **instead: nn.Module) -> Path:
    """Write the checkpoint of a whole small system, `without` some of its components or with others `instead`."""
    portrait, renderer = small_portrait(), small_renderer()
    keypoints = renderer.config.keypoints
    modules = {
        "speech_encoder": portrait.speech,
        "portrait_space": portrait.space,
        "portrait": portrait.denoiser,
        "renderer": renderer,
        "codebook": small_codebook(),
        "motion": small_motion(keypoints),
        "lip_refinement": small_lips(keypoints),
        "acoustic": small_acoustic(),
        **instead,
    }
    components = {name: module for name, module in modules.items() if name not in without}
    configs = {name: module.config.to_dict() for name, module in components.items()}
    save_checkpoint(path, SYSTEM, components, configs, {"data": "none", "licence": "Apache-2.0"})
    return path
