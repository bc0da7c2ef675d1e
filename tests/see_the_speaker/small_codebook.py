"""Codebook decoders of a few thousand weights for the tests."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from talkface_core.checkpoints import save_checkpoint
from talkface_core.quantisation.quantiser import CodebookConfig
from talkface_core.quantisation.vq_autoencoder import VQAutoencoderConfig
from talkface_core.see_the_speaker.code_predictor import CodePredictorConfig
from talkface_core.see_the_speaker.codebook import COMPONENT, CodebookDecoder, CodebookDecoderConfig
from talkface_core.see_the_speaker.system import SYSTEM
from talkface_core.subpixel import SubpixelConfig

SMALL = CodebookDecoderConfig(
    autoencoder=VQAutoencoderConfig(
        image_size=32,
        patch=4,
        channels=(8, 16),
        blocks=1,
        attention=(False, False),
        middle=False,
        norm=False,
        bypass=12,
        unseen=4,
        codebook=CodebookConfig(codes=16, dim=4, update="ema", sphere=True, whiten=True),
        fade=0.5,
    ),
    scale=2,
    latent=12,
    predictor=CodePredictorConfig(width=16, layers=2, heads=2, hidden=16, merge=2, own=8),
    fused=(0, 1),
    fusion=8,
    fine=4,
    detail=SubpixelConfig(wide=8, deep=1, fine=4, last=4),
    adapt=False,
    temperature=1.0,
)
"""As `tiny`: a by-pass, tokens of several codes, slim fusions."""

PLAIN = CodebookDecoderConfig(
    autoencoder=VQAutoencoderConfig(
        image_size=32,
        channels=(8, 8, 16),
        blocks=1,
        attention=(False, False, True),
        codebook=CodebookConfig(codes=16, dim=4),
    ),
    scale=4,
    predictor=CodePredictorConfig(width=16, layers=2, heads=2, hidden=16),
    fused=(0, 1),
)
"""As `base`: attention, normalisation, CodeFormer's fusions, codes adapted to the input."""


def small_decoder(config: CodebookDecoderConfig = SMALL, seed: int = 0) -> CodebookDecoder:
    """Fresh weights, but for those that start at zero and would hide the rest; codes that lie apart."""
    torch.manual_seed(seed)
    net = CodebookDecoder(config)
    for parameter in net.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    with torch.no_grad():
        net.quantiser.embedding.normal_()
    return net.eval()


def save_small_codebook(path: Path) -> Path:
    """A checkpoint of a codebook decoder without a network of detail, as stage 3 leaves it."""
    net = small_decoder(replace(SMALL, detail=None))
    save_checkpoint(path, SYSTEM, {COMPONENT: net}, {COMPONENT: net.config.to_dict()}, {})
    return path
