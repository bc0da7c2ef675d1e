"""A LaDTalk of random weights and a few kilobytes, for tests of the plumbing: its mouths are noise."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from talkface_core.checkpoints import save_checkpoint
from talkface_core.ladtalk.model import Wav2LipModel
from talkface_core.ladtalk.wav2lip import SYSTEM, Wav2Lip, Wav2LipConfig, inference_copy
from talkface_core.speech.vad import GateConfig, VoiceActivityGate
from tests.acoustic.small_acoustic import small_acoustic
from tests.ladtalk.small_sovqae import sovqae

SMALL = Wav2LipConfig(
    size=24,
    face=(8, 8, 8, 8),
    face_blocks=(0, 0, 0),
    speech=(8, 8, 8, 8, 8),
    speech_blocks=(0, 0, 0, 0),
    decoder=(8, 8, 8, 8),
    decoder_blocks=(0, 0, 0, 0),
    out=8,
)

SMALL_96 = replace(SMALL, size=96, face=(8,) * 6, face_blocks=(0,) * 5, decoder=(8,) * 6, decoder_blocks=(0,) * 6)
"""For pictures of 96 px."""

MOVING = replace(SMALL, references=2, flow=0.25)
LISTENING = replace(SMALL, acoustic=16)


def small_wav2lip(seed: int = 0, config: Wav2LipConfig = SMALL) -> Wav2Lip:
    """Paints something else for each sound, as it stands in a checkpoint."""
    torch.manual_seed(seed)
    net = Wav2Lip(config)
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            # torch's own start lets a signal fade from layer to layer, and the sound with it.
            nn.init.kaiming_normal_(module.weight)
    net.pixels.weight.data *= 5
    return net.eval()


def small_gate() -> VoiceActivityGate:
    torch.manual_seed(0)
    return VoiceActivityGate(GateConfig(width=8, dilations=(1, 2))).eval()


def small_lips(gate: VoiceActivityGate | None = None, config: Wav2LipConfig = SMALL) -> Wav2LipModel:
    """The speech side, in float32, without a gate unless one is given."""
    acoustic = small_acoustic() if config.acoustic else None
    return Wav2LipModel(inference_copy(small_wav2lip(config=config)), gate, acoustic).eval()


def save_small_ladtalk(path: Path, *without: str, config: Wav2LipConfig = SMALL) -> Path:
    """Write the checkpoint of a whole small system, `without` some of wav2lip, sovqae and gate."""
    modules = {"wav2lip": small_wav2lip(config=config), "sovqae": sovqae(), "gate": small_gate()}
    if config.acoustic:
        modules["acoustic"] = small_acoustic()
    components = {name: module for name, module in modules.items() if name not in without}
    configs = {name: module.config.to_dict() for name, module in components.items()}
    save_checkpoint(path, SYSTEM, components, configs, {"data": "none", "licence": "Apache-2.0"})
    return path
