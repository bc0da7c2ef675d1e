"""Augmentation of log-mels: other voices, rooms and microphones, the cheap half of the speech augmentation.

Everything works on batches of the 80-band log-mels of `LogMel` (-4..4 for -80..20 dB) and keeps time in place, so
the labels of each frame stay true. A vocal tract of another length is a warp of the frequency axis (vocal tract length
perturbation, Jaitly and Hinton 2013), another pitch a blur of the harmonics, a room an exponential tail of the energy,
masks are those of SpecAugment (Park et al. 2019). `wave_augment.py` holds what needs the wave itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .features import LogMel
from .mel_scale import mel_frequencies
from .wave_augment import NOISES, noise

DB_PER_UNIT = 12.5


def mel_energy(mel: Tensor) -> Tensor:
    """Log-mel -> energy relative to full scale (floor 1e-8)."""
    return torch.pow(10.0, ((mel - LogMel.SILENCE) * DB_PER_UNIT - 80.0) / 10.0)


def energy_mel(energy: Tensor) -> Tensor:
    """The inverse of `mel_energy`, clipped to -4..4."""
    decibels = 10.0 * torch.log10(energy.clamp_min(1e-12))
    return ((decibels + 80.0) / DB_PER_UNIT + LogMel.SILENCE).clamp(-LogMel.LIMIT, LogMel.LIMIT)


def warp_frequencies(mel: Tensor, factors: Tensor) -> Tensor:
    """Stretch the frequency axis by `factors` [B] (1.1: formants 10 % higher). mel [B, S, F].

    Mel bands are nearly logarithmic in frequency above 1 kHz and linear below, so the shift grows from nothing at the
    lowest band to that of the logarithm.
    """
    bands = mel.shape[-1]
    hertz = _band_centres(bands).to(mel.device)
    source = (hertz[None, :] / factors[:, None].to(mel.device)).clamp(float(hertz[0]), float(hertz[-1]))
    above = torch.searchsorted(hertz, source).clamp(1, bands - 1)
    low, high = hertz[above - 1], hertz[above]
    weight = ((source - low) / (high - low))[:, None, :]
    index = above[:, None, :].expand_as(mel)
    return torch.lerp(mel.gather(2, index - 1), mel.gather(2, index), weight.expand_as(mel))


def _band_centres(bands: int) -> Tensor:
    """Centres in Hz of `bands` Slaney-mel filters between 55 and 7600 Hz."""
    return torch.from_numpy(mel_frequencies(bands + 2, LogMel.F_MIN, LogMel.F_MAX)[1:-1].copy()).float()


def reverberate_energy(energy: Tensor, seconds: Tensor, ratio: Tensor) -> Tensor:
    """Add a diffuse tail: `seconds` [B] to fall by 60 dB, `ratio` [B] of tail energy to direct energy. [B, S, F]."""
    steps = energy.shape[1]
    lags = torch.arange(steps, device=energy.device)
    tail = torch.pow(10.0, -6.0 * lags[None] / (float(LogMel.rate) * seconds[:, None]))
    tail[:, 0] = 0.0
    tail = tail / tail.sum(1, keepdim=True).clamp_min(1e-6) * ratio[:, None]
    length = 2 * steps
    spectrum = torch.fft.rfft(energy, length, dim=1) * torch.fft.rfft(tail, length, dim=1)[..., None]
    return (energy + torch.fft.irfft(spectrum, length, dim=1)[:, :steps]).clamp_min(0.0)


def smooth_curve(rng: np.random.Generator, batch: int, bands: int, knots: int, decibels: float) -> Tensor:
    """Random smooth gains over the bands in dB [B, F]: `knots` normal values of deviation `decibels`, interpolated."""
    values = torch.from_numpy(rng.normal(0.0, decibels, (batch, 1, knots))).float()
    return torch.nn.functional.interpolate(values, bands, mode="linear", align_corners=True)[:, 0]


@dataclass(frozen=True)
class MelAugment:
    """How far speech is taken from what it was; probabilities are per clip.

    warp: largest change of formants; blur: deviation in bands of the blur over harmonics; equaliser: deviation in dB;
    level: range in dB; reverb: range of seconds to -60 dB; snr: range in dB of noise under the speech; telephone:
    probability of 300-3400 Hz; masks: number of frequency masks of up to `mask_bands`.
    """

    warp: float = 0.15
    blur: float = 1.5
    equaliser: float = 5.0
    level: tuple[float, float] = (-25.0, 5.0)
    reverb: tuple[float, float] = (0.1, 0.8)
    reverb_probability: float = 0.4
    snr: tuple[float, float] = (0.0, 35.0)
    noise_probability: float = 0.6
    babble_probability: float = 0.1
    telephone: float = 0.15
    masks: int = 2
    mask_bands: int = 10
    clean: float = 0.1

    def __call__(self, mel: Tensor, rng: np.random.Generator, noises: Tensor) -> Tensor:
        """mel [B, S, F], noises [N, S or more, F] (log-mels of noise) -> augmented [B, S, F], reproducible from `rng`.

        A share `clean` of the clips is left as it is.
        """
        batch, _, bands = mel.shape

        def uniform(low: float, high: float) -> Tensor:
            return torch.from_numpy(rng.uniform(low, high, batch)).float().to(mel.device)

        def chance(probability: float) -> Tensor:
            return torch.from_numpy(rng.random(batch) < probability).to(mel.device)

        x = warp_frequencies(mel, uniform(1 - self.warp, 1 + self.warp))
        x = self._blur(x, rng)
        x = x + smooth_curve(rng, batch, bands, 6, self.equaliser).to(x)[:, None] / DB_PER_UNIT
        energy = mel_energy(x)
        ratio = torch.where(chance(self.reverb_probability), uniform(0.02, 0.8), torch.zeros(batch, device=x.device))
        energy = reverberate_energy(energy, uniform(*self.reverb), ratio)
        energy = energy + self._noise(mel, energy, rng, noises)
        x = energy_mel(energy) + uniform(*self.level)[:, None, None] / DB_PER_UNIT
        x = self._telephone(x, chance(self.telephone))
        x = self._mask(x, rng).clamp(-LogMel.LIMIT, LogMel.LIMIT)
        return torch.where(chance(self.clean)[:, None, None], mel, x)

    def _blur(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        """Another blur over the bands for each clip (Gaussian of 9 taps)."""
        sigma = torch.from_numpy(rng.uniform(0.01, max(self.blur, 0.02), len(x))).float().to(x.device)
        taps = torch.arange(-4, 5, device=x.device)
        kernel = torch.exp(-0.5 * (taps / sigma[:, None]) ** 2)
        kernel = kernel / kernel.sum(1, keepdim=True)
        padded = torch.nn.functional.pad(x, (4, 4), mode="replicate")
        return torch.einsum("bsfk,bk->bsf", padded.unfold(2, 9, 1), kernel)

    def _noise(self, mel: Tensor, energy: Tensor, rng: np.random.Generator, noises: Tensor) -> Tensor:
        """Energy to add: a stretch of a noise, or of the other clips of the batch, at a signal-to-noise ratio."""
        batch, steps, bands = mel.shape
        loud = energy.sum(2).quantile(0.9, dim=1)
        picked = rng.integers(0, len(noises), batch)
        starts = rng.integers(0, noises.shape[1] - steps + 1, batch)
        noise = mel_energy(torch.stack([noises[n, s : s + steps] for n, s in zip(picked, starts, strict=True)]).to(mel))
        noise = noise * torch.pow(10.0, smooth_curve(rng, batch, bands, 4, 6.0).to(mel) / 10.0)[:, None]
        babble = energy.roll(1, 0).roll(steps // 3, 1) + energy.roll(2, 0).roll(steps // 2, 1)
        is_babble = torch.from_numpy(rng.random(batch) < self.babble_probability).to(mel.device)
        noise = torch.where(is_babble[:, None, None], babble, noise)
        snr = torch.from_numpy(rng.uniform(*self.snr, batch)).float().to(mel.device)
        snr = torch.where(is_babble, snr.clamp_min(12.0), snr)
        gain = loud / noise.sum(2).mean(1).clamp_min(1e-9) * torch.pow(10.0, -snr / 10.0)
        present = torch.from_numpy(rng.random(batch) < self.noise_probability).to(mel)
        return noise * (gain * present)[:, None, None]

    @staticmethod
    def _telephone(x: Tensor, chosen: Tensor) -> Tensor:
        """Bands outside 300-3400 Hz fall to the floor."""
        hertz = _band_centres(x.shape[-1]).to(x.device)
        outside = (hertz < 300.0) | (hertz > 3400.0)
        return torch.where(chosen[:, None, None] & outside[None, None], torch.full_like(x, LogMel.SILENCE), x)

    def _mask(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        """SpecAugment's frequency masks, filled with the clip's mean."""
        bands = torch.arange(x.shape[-1], device=x.device)
        mean = x.mean((1, 2), keepdim=True)
        for _ in range(self.masks):
            width = torch.from_numpy(rng.integers(0, self.mask_bands + 1, len(x))).to(x.device)
            start = torch.from_numpy(rng.integers(0, x.shape[-1] - self.mask_bands, len(x))).to(x.device)
            hidden = (bands >= start[:, None]) & (bands < (start + width)[:, None])
            x = torch.where(hidden[:, None], mean, x)
        return x


def noise_mels(count: int, steps: int, seed: int = 0, level: float = -20.0) -> Tensor:
    """Log-mels of noises of all kinds for `MelAugment`, `level` dB of full scale: float32 [count, steps, 80]."""
    rng, front = np.random.default_rng(seed), LogMel()
    gain = np.float32(10 ** (level / 20))
    waves = [noise(NOISES[k % len(NOISES)], steps * LogMel.HOP, rng) for k in range(count)]
    return torch.stack([front(torch.from_numpy(gain * wave)) for wave in waves])
