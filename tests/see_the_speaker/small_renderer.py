"""Renderers small enough for tests: the presets' classes and switches, few channels."""

from dataclasses import replace

import torch
from torch import nn

from talkface_core.see_the_speaker.appearance import AppearanceConfig
from talkface_core.see_the_speaker.decoder import DecoderConfig
from talkface_core.see_the_speaker.motion_extractor import MotionExtractorConfig
from talkface_core.see_the_speaker.renderer import HolisticRenderer, RendererConfig
from talkface_core.see_the_speaker.warping import WarpingConfig


def small_tiny(size: int = 64) -> RendererConfig:
    """As `tiny`."""
    tiny = RendererConfig.preset("tiny", size=size)
    return replace(
        tiny,
        appearance=replace(tiny.appearance, channels=4, volume=6),
        motion=replace(tiny.motion, channels=(4, 6, 8, 8), blocks=(1, 1, 1, 1), layout=4),
        warping=replace(tiny.warping, channels=4, most=8, features=4),
        decoder=replace(tiny.decoder, up=(6,), hidden=4, skip=4, join=4),
    )


def small_base() -> RendererConfig:
    """As `base`."""
    return RendererConfig(
        size=64,
        keypoints=4,
        appearance=AppearanceConfig(4, 2, 16, 4, 3, 2),
        motion=MotionExtractorConfig((4, 6, 8, 8), (1, 1, 1, 1), 66, 0),
        warping=WarpingConfig(4, 2, 16, 2, 3, features=6),
        decoder=DecoderConfig(2, (6, 4), 5),
    )


def trained_looking(config: RendererConfig, seed: int = 0) -> HolisticRenderer:
    """A renderer whose batch norms have statistics of their own."""
    torch.manual_seed(seed)
    net = HolisticRenderer(config)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.2)
    return net.eval()
