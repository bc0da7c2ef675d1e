"""The bundled weights say what they said when they were trained: a few numbers of each network, on drawn inputs."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from talkface_core.acoustic.hearing import SMALL_EAR, load_ear
from talkface_core.dae_talker.hearing import hear_block
from talkface_core.dae_talker.model import load_dae_talker
from talkface_core.evaluation.probe import load_probe
from talkface_core.faces.bundled import load_bundled
from talkface_core.ladtalk.hearing import hear
from talkface_core.ladtalk.model import load_ladtalk
from talkface_core.sync.syncnet import load_syncnet

GOLDEN: dict[str, list[float]] = {
    "autoencoder": [
        0.10019,
        0.06236,
        -0.008356,
        -0.0060078,
        -0.10954,
        -0.066159,
        -0.029488,
        0.041856,
        0.079285,
        0.0087351,
    ],
    "speech2latent": [
        -0.056691,
        0.21044,
        0.061712,
        -0.27229,
        0.048242,
        0.00062755,
        0.0073897,
        0.010739,
        0.0048065,
        0.0024494,
        -4.9793,
        -4.5229,
        -5.3352,
        -4.8002,
        -2.7256,
    ],
    "ear": [0.15482, 0.095028, -2.0466, 0.025771, -0.40257],
    "wav2lip": [0.77867, 0.62412, 0.35602, 0.29289, 0.90092],
    "sovqae": [0.49329, -0.53913, 0.42104, -0.39578, 0.1116],
    "faces": [
        -3.8937,
        0.23138,
        0.38351,
        0.97526,
        0.049384,
        0.24987,
        0.33536,
        0.44261,
        0.5,
        0.51728,
        -13.096,
        -13.096,
        -13.096,
        -13.096,
        -13.096,
        -10.94,
        -10.94,
        -2.3361,
        -2.3361,
        2.8399,
        0.038568,
        0.038568,
        0.038568,
        0.038568,
        0.038568,
    ],
    "syncnet": [
        0.10211,
        0.073218,
        0.011339,
        0.055395,
        -0.0067338,
        -0.039158,
        -0.082873,
        -0.0015781,
        -0.011746,
        -0.098928,
    ],
    "probe": [
        0.51509,
        0.51418,
        0.49295,
        0.46252,
        0.47583,
        -0.0054966,
        -0.0054966,
        -0.0054966,
        -0.0054966,
        -0.0054966,
        0.0089789,
        0.0089789,
        0.0089789,
        0.0089789,
        0.0089789,
        13.162,
        13.162,
        -1.6564,
        -1.6564,
        8.785,
    ],
}
"""Each network's output at five places, evenly spread, in float32."""


def waves(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Numbers between `low` and `high` that need no generator, and so are the same in every version."""
    n = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (low + (high - low) * (0.5 + 0.25 * torch.sin(0.05 * n) + 0.25 * torch.cos(0.0071 * n))).float().view(shape)


def autoencoder() -> tuple[Tensor, ...]:
    net = load_dae_talker(device="cpu", dtype=torch.float32).autoencoder
    z = net.encode(waves(1, 3, 128, 128, low=-1))
    return z, net(waves(1, 3, 128, 128, low=-2, high=2), torch.tensor([700]), z)


def speech2latent() -> tuple[Tensor, ...]:
    speech = load_dae_talker(device="cpu", dtype=torch.float32).speech
    mel = waves(1, 80, 80, low=-4, high=4)
    heard, _ = hear_block(speech, mel[0], 0, 0, 25)
    out = speech.speech2latent(heard[None], 25, speech.speech2latent.config.hears)
    return out.latents, out.pose, speech.gate(mel)


def ear() -> tuple[Tensor, ...]:
    return (torch.cat(list(load_ear(SMALL_EAR).stream([waves(16000, low=-0.5, high=0.5)]))),)


def wav2lip() -> tuple[Tensor, ...]:
    lips = load_ladtalk(device="cpu", dtype=torch.float32).lips
    speech = hear(lips, [waves(80, 80, low=-4, high=4)], 25).at([10])
    return (lips.wav2lip(waves(1, 3, 96, 96), waves(1, 3, 96, 96).flip(3), speech),)


def sovqae() -> tuple[Tensor, ...]:
    net = load_ladtalk(device="cpu", dtype=torch.float32).sovqae
    return (net(waves(1, 3, 64, 64, low=-1)).frames,)


def faces() -> tuple[Tensor, ...]:
    detector = load_bundled(dtype=torch.float32)
    read = detector.reader(waves(1, 3, 128, 128, low=-1))
    return detector.finder(waves(1, 3, 128, 128, low=-1)), *read.values()


def syncnet() -> tuple[Tensor, ...]:
    return load_syncnet("sync_tiny")(waves(1, 5, 3, 48, 96), waves(1, 1, 80, 16, low=-4, high=4))


def probe() -> tuple[Tensor, ...]:
    return tuple(load_probe()(waves(1, 3, 128, 128, low=-1)).values())


NETWORKS = (autoencoder, speech2latent, ear, wav2lip, sovqae, faces, syncnet, probe)


def probed(network: Callable[[], tuple[Tensor, ...]]) -> list[float]:
    """Five numbers of each output."""
    with torch.inference_mode():
        flat = [values.flatten().double() for values in network()]
    return [float(values[int(k * (len(values) - 1) / 4)]) for values in flat for k in range(5)]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_outputs_are_those_of_old(network: Callable[[], tuple[Tensor, ...]]) -> None:
    assert probed(network) == pytest.approx(GOLDEN[network.__name__], abs=2e-4, rel=1e-3)
