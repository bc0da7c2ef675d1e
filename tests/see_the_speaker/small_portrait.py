"""Small random networks of the portrait's side, and rendered-like people and voices, for tests."""

import json
from pathlib import Path

import cv2
import numpy as np
import soundfile
import torch

from talkface_core.checkpoints import save_checkpoint
from talkface_core.diffusion.kl_autoencoder import KLConfig
from talkface_core.diffusion.unet import EncoderConfig
from talkface_core.faces.geometry import GENERIC_FACE
from talkface_core.see_the_speaker.conre import (
    FACE,
    SPEECH,
    FaceEncoder,
    FaceEncoderConfig,
    SpeechEncoder,
    SpeechEncoderConfig,
)
from talkface_core.see_the_speaker.portrait import COMPONENT, PortraitConfig, PortraitDenoiser, PortraitModel
from talkface_core.see_the_speaker.portrait_space import COMPONENT as SPACE_COMPONENT
from talkface_core.see_the_speaker.portrait_space import PortraitSpace, PortraitSpaceConfig
from talkface_core.see_the_speaker.prior import SAWConfig
from talkface_core.see_the_speaker.system import SYSTEM

SPACE = PortraitSpaceConfig(32, KLConfig(channels=8, multipliers=(1, 1), blocks=1, latent_channels=4, patch=4))
SPEECH_SIZES = SpeechEncoderConfig(width=16, blocks=1, tokens=16, identity=24)
FACE_SIZES = FaceEncoderConfig(EncoderConfig(32, 3, 24, (8, 16), (False, False), blocks=1, patch=4))
PORTRAIT_SIZES = PortraitConfig(4, 4, (8, 8), (False, True), 1, 1, 16, 2, tokens=16, identity=24, saw=SAWConfig(24, 8))


def small_model(seed: int = 0) -> PortraitModel:
    """A portrait model whose zero-initialised layers say something too."""
    torch.manual_seed(seed)
    model = PortraitModel(SpeechEncoder(SPEECH_SIZES), PortraitSpace(SPACE), PortraitDenoiser(PORTRAIT_SIZES))
    with torch.no_grad():
        for net in (model.denoiser, model.space):
            for weight in net.parameters():
                if not weight.any():
                    weight.normal_(std=0.3)
        model.denoiser.prior.latent.normal_()
    for net in (model.speech, model.space, model.denoiser):
        net.eval().requires_grad_(False)
    return model


def save_small_portrait(path: Path) -> Path:
    """All components of the portrait's side in one file."""
    model = small_model()
    parts = {SPEECH: model.speech, SPACE_COMPONENT: model.space, COMPONENT: model.denoiser}
    parts[FACE] = FaceEncoder(FACE_SIZES)
    save_checkpoint(path, SYSTEM, parts, {name: net.config.to_dict() for name, net in parts.items()}, {})
    return path


def face_points(side: int) -> np.ndarray:
    """Landmarks [68,2] of a face that looks into a picture of a side."""
    points = GENERIC_FACE[:, :2] * np.array([1, -1]) * side / 32
    return points + side / 2


def write_people(folder: Path, count: int = 6, side: int = 64) -> Path:
    """Stills of people whose brightness tells the sex and whose colour the age group."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for n in range(count):
        sex, age = n % 2, n // 2 % 3
        picture = rng.integers(0, 60, (side, side, 3)) + 80 * sex
        picture[..., age] += 80
        cv2.imwrite(str(folder / f"p{n}.jpg"), picture[..., ::-1].astype(np.uint8))
        attributes = {"sex": "fm"[sex], "age": ("young", "middle", "old")[age]}
        np.savez(
            folder / f"p{n}.npz",
            landmarks=face_points(side)[None].astype(np.float16),
            attributes=json.dumps(attributes),
        )
    return folder


def write_voices(folder: Path, count: int = 6, seconds: float = 2.0) -> Path:
    """Hums: low ones are men's, the louder the older."""
    folder.mkdir(parents=True)
    time = np.arange(int(16000 * seconds)) / 16000
    for n in range(count):
        sex, age = n % 2, n // 2 % 3
        wave = sum(np.sin(2 * np.pi * k * (110 if sex else 220) * time) / k for k in range(1, 12)) * 0.02 * 3**age
        soundfile.write(folder / f"v{n}.wav", wave.astype(np.float32), 16000)
        attributes = {"sex": "fm"[sex], "age": ("young", "middle", "old")[age]}
        speech = np.ones(int(25 * seconds), bool)
        speech[: len(speech) // 2] = n % 3 > 0
        np.savez(folder / f"v{n}.npz", speech=speech, attributes=json.dumps(attributes))
    return folder
