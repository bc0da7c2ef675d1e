"""A DAE-Talker of random weights and a few kilobytes, for tests of the plumbing: its videos are noise."""

from pathlib import Path

import torch
from torch import nn

from talkface_core.acoustic.model import AcousticModel
from talkface_core.checkpoints import save_checkpoint
from talkface_core.dae_talker.autoencoder import AutoencoderConfig, DiffusionAutoencoder, SamplingConfig
from talkface_core.dae_talker.speech2latent import HEARD, Speech2Latent, Speech2LatentConfig
from talkface_core.dae_talker.upsampler import Upsampler, UpsamplerConfig
from talkface_core.diffusion.schedules import Schedule
from talkface_core.diffusion.unet import EncoderConfig, UNetConfig
from talkface_core.speech.vad import GateConfig, VoiceActivityGate

SIZE, LATENT = 16, 8
LARGE = 2 * SIZE


def small_autoencoder() -> DiffusionAutoencoder:
    """16 px, random weights also where training begins with zeros."""
    torch.manual_seed(0)
    unet = UNetConfig(SIZE, 3, 3, (8, 8), (False, False), 1, 1, 8, 8, LATENT, patch=2, learned_position=True)
    encoder = EncoderConfig(SIZE, 3, LATENT, (8, 8), (False, False), 1, patch=2)
    schedule = Schedule("linear", 1000, zero_terminal_snr=True)
    model = DiffusionAutoencoder(AutoencoderConfig(unet, encoder, schedule, "v", SamplingConfig("dpmpp_2m", 3)))
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.1)
    return model.eval().requires_grad_(False)


def small_upsampler(size: int = SIZE) -> Upsampler:
    """Twice the size, random weights also where training begins with zeros."""
    torch.manual_seed(0)
    net = Upsampler(UpsamplerConfig(image_size=size, wide=8, deep=1, fine=8, shallow=1))
    nn.init.normal_(net.out.weight, std=0.1)
    return net.eval().requires_grad_(False)


def small_speech2latent(**changes: object) -> Speech2Latent:
    """16 wide, one block on each side of the pose adaptor."""
    torch.manual_seed(0)
    sizes = {"latent_dim": LATENT, "width": 16, "ff": 16, "front_width": 8, "encoder_blocks": 1, "decoder_blocks": 1}
    net = Speech2Latent(Speech2LatentConfig.preset("tiny", **{**sizes, **changes}))
    net.adaptor.motion_std.copy_(torch.tensor([3.0, 2.0, 1.0]) / 90)
    return net.eval()


def save_small_talker(path: Path, **changes: nn.Module | None) -> Path:
    """Write the checkpoint of a whole small system; `changes` replaces a component, or drops it (None)."""
    torch.manual_seed(0)
    gate = VoiceActivityGate(GateConfig(width=8, dilations=(1, 2)))
    modules = {"autoencoder": small_autoencoder(), "speech2latent": small_speech2latent(), "gate": gate, **changes}
    components = {name: module for name, module in modules.items() if module is not None}
    configs = {name: module.config.to_dict() for name, module in components.items()}
    save_checkpoint(path, "dae_talker", components, configs, {"data": "none", "licence": "Apache-2.0"})
    return path


def listening(acoustic: AcousticModel, /, **changes: object) -> Speech2Latent:
    """A small speech2latent that hears this acoustic model."""
    return small_speech2latent(fronts={HEARD: acoustic.front_end}, **changes)
