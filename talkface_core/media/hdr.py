"""High dynamic range and wide colour brought to what an ordinary screen shows (SDR, BT.709).

Light is linear in between. Curves: PQ of SMPTE ST 2084; HLG with its system gamma (ITU-R BT.2100, table 5, for 1000
cd/m2); BT.1886 for SDR. White of HDR is 203 cd/m2 (ITU-R BT.2408). What is brighter than the screen is bent down by the
curve of ITU-R BT.2390, section 5.4, on the largest of the three colours, so that hues stay.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PQ, HLG = 16, 18
"""Transfer characteristics, as H.273 numbers them."""

BT2020 = 9
"""Colour primaries and matrix of wide colour, as H.273 numbers them."""

WHITE, PEAK = 203.0, 1000.0
"""cd/m2 of paper white, which becomes the screen's white, and of the brightest light that is told apart."""

# ITU-R BT.2087, table 3, inverted: BT.2020 to BT.709 in linear light.
_TO_709 = ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187))
_LUMINANCE = (0.2627, 0.6780, 0.0593)
_HLG_GAMMA = 1.2
_SDR_GAMMA = 2.4
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073


Light = NDArray[np.floating]


def pq_to_light(code: Light) -> Light:
    """PQ code 0..1 -> cd/m2."""
    root = np.clip(code, 0, 1) ** (1 / _M2)
    return 10_000 * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1)


def light_to_pq(light: Light | float) -> Light:
    """cd/m2 -> PQ code 0..1."""
    power = np.clip(np.asarray(light) / 10_000, 0, 1) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def hlg_to_scene(code: Light) -> Light:
    """HLG code 0..1 -> light of the scene 0..1."""
    code = np.clip(code, 0, 1)
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - _HLG_C) / _HLG_A) + _HLG_B) / 12)


def bent(light: Light) -> Light:
    """Light 0..`PEAK` cd/m2 -> 0..`WHITE`: as it is when dark, bent by a Hermite spline in PQ when bright."""
    top = light_to_pq(PEAK)
    white = light_to_pq(WHITE) / top
    knee = 1.5 * white - 0.5
    code = np.clip(light_to_pq(light) / top, 0, 1)
    t = np.maximum((code - knee) / (1 - knee), 0)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * white
    return pq_to_light(np.where(code < knee, code, spline) * top)


class ToSDR:
    """Wide colour uint16 [H, W, 3] of one `transfer` (H.273; neither PQ nor HLG: SDR) -> RGB uint8 [H, W, 3]."""

    def __init__(self, transfer: int) -> None:
        self.transfer = transfer
        code = np.linspace(0, 1, 2**16 >> _SHIFT, dtype=np.float32)
        curves = {PQ: lambda: pq_to_light(code) / PEAK, HLG: lambda: hlg_to_scene(code)}
        # Tables in place of powers for every pixel; light is in shares of the peak, tables of it by its square root.
        self._light = curves.get(transfer, lambda: code**_SDR_GAMMA)().astype(np.float32)
        share = code.astype(np.float64) ** 2
        self._gamma = np.rint(255 * share ** (1 / _SDR_GAMMA)).astype(np.uint8)
        dark = np.maximum(share, 1e-9)
        self._bend = (bent(dark * PEAK) / (dark * WHITE)).astype(np.float32)
        self._system = (dark ** (_HLG_GAMMA - 1)).astype(np.float32)

    def __call__(self, picture: NDArray[np.uint16]) -> NDArray[np.uint8]:
        light = self._light[picture >> _SHIFT]
        if self.transfer == HLG:
            light = light * self._system[_index(light @ np.array(_LUMINANCE, np.float32))][..., None]
        if self.transfer in (PQ, HLG):
            light = light * self._bend[_index(light.max(-1))][..., None]
        return self._gamma[_index(light @ np.array(_TO_709, np.float32).T)]


_SHIFT = 4  # twelve bits of code are as many as films have


def _index(share: Light) -> NDArray[np.uint16]:
    """Where a share 0..1 of light stands in a table."""
    return (np.sqrt(share.clip(0, 1)) * ((2**16 >> _SHIFT) - 1) + 0.5).astype(np.uint16)
