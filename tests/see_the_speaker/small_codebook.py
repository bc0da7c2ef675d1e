"""Codebook decoders of a few thousand weights for the tests."""

import torch
from torch import nn

from talkface_core.quantisation.quantiser import CodebookConfig
from talkface_core.quantisation.vq_autoencoder import VQAutoencoderConfig
from talkface_core.see_the_speaker.code_predictor import CodePredictorConfig
from talkface_core.see_the_speaker.codebook import CodebookDecoder, CodebookDecoderConfig

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
