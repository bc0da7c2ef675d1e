"""The evaluation of a talking-face system, section by section, from frames and truth alone.

It knows no system: it takes arrays. Every measure stands beside the same measure of the real video, so that the
instrument's own error is in sight. What each number means is printed with the table (`PROTOCOL`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..correlation import mouth_lag, pearson
from ..errors import InputError
from ..faces.geometry import in_head_frame
from ..faces.landmarks import EYES, MOUTH, landmark_distance
from . import metrics
from .probe import LandmarkProbe, Reading
from .table import Report, Row

OWN_VOICE, OTHER_VOICES, REAL_VOICES = "voice of the set", "other voices", "real voices"
_FOLLOWED = {OWN_VOICE: 0.88, OTHER_VOICES: 0.85, REAL_VOICES: 0.85}
"""The least correlation of the mouth's opening that is asked for."""

PAUSE = 5
"""Frames from any speech at which a pause begins: the mouth closes after the last sound and opens before the first."""

CROPS = {"mouth": (MOUTH, 0.28), "eyes": (EYES, 0.36)}
"""Where sharpness is compared: landmarks in the middle, side of the square as a share of the frame."""
SHARPNESS = {"mouth": 0.8, "eyes": 0.7}
"""The least sharpness that is asked for."""

PROTOCOL = {
    "PSNR, SSIM": "RGB, data range 1, SSIM with an 11 px Gaussian window of sigma 1.5; mean over frames, then clips.",
    "sharpness": "variance of the luma's Laplacian in a square around the mouth or eyes, by that of the real frame.",
    "mouth opening correlation": "Pearson, the probe's reading against the truth, frame by frame; mean over clips.",
    "mouth lag": "the shift within 10 frames at which that correlation peaks; above zero the mouth is late.",
    "spread of the opening": "deviation over time of the probe's reading by that of the truth; mean over clips.",
    "mouth landmarks error": "mean distance of points 48-67 from the truth by the eye distance, both in the head's "
    "frame: the turn is undone (with the pose that the probe reads off the picture; the true pose for the truth), "
    "then a similarity transform aligns nose and eye corners.",
    "of the mean mouth's error": "that error by the one of the training set's mean mouth, posed as the true head is.",
    "open share": f"frames with mouth_open above {metrics.OPEN}; a pause is a frame {PAUSE} or more from any speech. "
    "Beside silence stands the real video in its pauses.",
    "yaw error": "distance of a clip's median yaw from the yaw asked for; beside it the probe's mean error on real "
    "frames turned as far.",
    "background flicker": "mean absolute change from frame to frame, of 255 levels, where the real set stands still.",
}


@dataclass(frozen=True)
class Truth:
    """What is true of T frames.

    landmarks [T,68,2] as shares of the frame, pose [T,3] in degrees, mouth_open [T], speech [T] bool.
    """

    landmarks: NDArray[np.float32]
    pose: NDArray[np.float32]
    mouth_open: NDArray[np.float32]
    speech: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.mouth_open)

    @classmethod
    def of(cls, arrays: Mapping[str, ArrayLike], width: int, height: int) -> "Truth":
        """From a clip's npz, whose landmarks are pixels of a picture of `width` x `height`. Raises InputError."""
        missing = {"landmarks", "pose", "mouth_open", "speech"} - set(arrays)
        if missing:
            raise InputError(f"the truth lacks {', '.join(sorted(missing))}; the report needs the npz beside the clip.")
        return cls(
            np.asarray(arrays["landmarks"], np.float32) / np.array([width, height], np.float32),
            np.asarray(arrays["pose"], np.float32),
            np.asarray(arrays["mouth_open"], np.float32),
            np.asarray(arrays["speech"], bool),
        )


def pauses(speech: ArrayLike, margin: int = PAUSE) -> NDArray[np.bool_]:
    """Frames [T] that lie at least `margin` frames away from any frame of `speech` [T]."""
    speech = np.asarray(speech, bool)
    talk = np.flatnonzero(speech)
    if not len(talk):
        return np.ones(len(speech), bool)
    return np.abs(np.arange(len(speech))[:, None] - talk[None]).min(1) >= margin


def mouth_measures(reading: Reading, truth: Truth, face: ArrayLike) -> dict[str, float]:
    """What the probe read off T frames against the truth of the clip whose speech they say.

    `face` [68,3]: the training set's mean face (`LandmarkProbe.face`). Keys: correlation, lag (frames), spread, error
    and baseline (eye distances; the latter is the mean mouth's), open_pauses (share; NaN without a pause).
    Raises InputError for another number of frames.
    """
    if len(reading) != len(truth):
        raise InputError(f"{len(reading)} frames against a truth of {len(truth)}; compare clips of one length.")
    face = np.asarray(face, np.float64)
    true = in_head_frame(truth.landmarks, truth.pose, face)
    predicted = in_head_frame(reading.landmarks, reading.pose, face)
    mean_mouth = np.broadcast_to(face[None, :, :2], true.shape)
    return {
        "correlation": pearson(reading.mouth_open, truth.mouth_open),
        "lag": float(mouth_lag(reading.mouth_open, truth.mouth_open)[0]),
        "spread": _spread(reading.mouth_open, truth.mouth_open),
        "error": float(landmark_distance(predicted, true).mean()),
        "baseline": float(landmark_distance(mean_mouth, true).mean()),
        "open_pauses": metrics.open_share(reading.mouth_open, pauses(truth.speech)),
    }


def crops(frames: ArrayLike | Tensor, centres: ArrayLike, side: float) -> Tensor:
    """Squares [T,s,s,3] cut out of frames [T,H,H,3] around `centres` [T,2], kept inside; all lengths as shares of H."""
    pictures = torch.as_tensor(frames)
    size = pictures.shape[1]
    pixels = round(side * size)
    corners = (np.asarray(centres, np.float64) * size - pixels / 2).round().astype(int).clip(0, size - pixels)
    cut = [p[y : y + pixels, x : x + pixels] for p, (x, y) in zip(pictures, corners.tolist(), strict=True)]
    return torch.stack(cut)


class Evaluation:
    """Takes clips one by one and gives the table. Frames are [T,H,H,3], RGB, uint8 or float 0..1.

    `still` is the bool mask [H,H] of the pixels that stand still in the real set (`metrics.StillMask`).
    """

    def __init__(self, probe: LandmarkProbe, still: Tensor) -> None:
        self.probe, self.still = probe, still
        self._face = probe.face.cpu().numpy()
        self._values: dict[tuple[str, str], dict[str, float]] = {}
        self._yaws: list[NDArray[np.float32]] = []
        self._asked: list[float] = []

    def add_autoencoding(self, clip: str, decoded: ArrayLike | Tensor, real: ArrayLike | Tensor, truth: Truth) -> None:
        """Frames decoded from what the real frames were encoded to."""
        quality = metrics.PictureQuality()
        quality.add(decoded, real)
        self._put("autoencoding", clip, psnr=quality.psnr, ssim=quality.ssim)
        for part, (points, side) in CROPS.items():
            centres = truth.landmarks[:, points].mean(1)
            ratio = metrics.sharpness_ratio(crops(decoded, centres, side), crops(real, centres, side))
            self._put("autoencoding", clip, **{f"sharpness {part}": ratio})
        self._put_flicker("autoencoding", clip, decoded, real)

    def add_speech(
        self, group: str, clip: str, generated: ArrayLike | Tensor, real: ArrayLike | Tensor, truth: Truth
    ) -> None:
        """Frames made from a clip's sound. `group`: OWN_VOICE, OTHER_VOICES or REAL_VOICES; another name has no
        targets."""
        beside = self.probe.read(real)
        self._put(group, clip, **mouth_measures(self.probe.read(generated), truth, self._face))
        self._put(f"{group}/real", clip, **mouth_measures(beside, truth, self._face))
        self._put_flicker(group, clip, generated, real)
        self._yaws.append(np.stack([beside.pose[:, 0], truth.pose[:, 0]]))

    def add_silence(self, name: str, generated: ArrayLike | Tensor) -> None:
        """Frames made from a recording in which nobody speaks."""
        self._put("silence", name, open=metrics.open_share(self.probe.read(generated).mouth_open))

    def add_pose(self, yaw: float, generated: ArrayLike | Tensor) -> None:
        """Frames made with the head asked to be turned by `yaw` degrees."""
        median_yaw = float(np.median(self.probe.read(generated).pose[:, 0]))
        self._asked.append(yaw)
        again = self._asked.count(yaw)
        self._put("pose", f"{yaw:+g}" + (f" ({again})" if again > 1 else ""), error=abs(median_yaw - yaw))

    def report(self, title: str, about: Mapping[str, Any] | None = None) -> Report:
        """The table of all clips so far; sections without a clip are left out. `about`: what was measured, for JSON."""
        rows: list[Row] = []
        if ("autoencoding", "psnr") in self._values:
            rows += self._autoencoding_rows()
        groups = [section for section, key in self._values if key == "correlation" and not section.endswith("/real")]
        for group in groups:
            rows += self._speech_rows(group)
        if ("silence", "open") in self._values:
            real = [share for group in groups for share in self._values[f"{group}/real", "open_pauses"].values()]
            beside = _mean(real) if real else None
            rows.append(self._row("silence", "open share", "open", at_most=0.05, real=beside))
        if self._asked:
            clips, beside = self._values["pose", "error"], self._probe_yaw_error(min(map(abs, self._asked)))
            worst = max(clips.values())
            rows.append(Row("pose", "yaw error, worst", worst, beside, "degrees", at_most=4.0, clips=clips))
        return Report(title, rows, dict(about or {}), PROTOCOL)

    def _autoencoding_rows(self) -> list[Row]:
        section = "autoencoding"
        return [
            self._row(section, "PSNR", "psnr", unit="dB", at_least=28.0),
            self._row(section, "SSIM", "ssim", real=1.0, at_least=0.90),
            *(
                self._row(section, f"sharpness, {part}", f"sharpness {part}", real=1.0, at_least=least)
                for part, least in SHARPNESS.items()
            ),
            *self._flicker_rows(section),
        ]

    def _speech_rows(self, group: str) -> list[Row]:
        wanted = _FOLLOWED.get(group)
        baseline = _mean(self._values[group, "baseline"].values())
        error, real = (_mean(self._values[name, "error"].values()) for name in (group, f"{group}/real"))
        half, low, high = (0.5, 0.85, 1.1) if group in _FOLLOWED else (None, None, None)
        return [
            self._row(group, "mouth opening correlation", "correlation", at_least=wanted),
            self._row(group, "spread of the opening", "spread", at_least=low, at_most=high),
            self._row(group, "mouth lag", "lag", unit="frames"),
            self._row(group, "mouth landmarks error", "error", unit="eye distances"),
            Row(group, "of the mean mouth's error", error / baseline, real / baseline, at_most=half),
            self._row(group, "open share in pauses", "open_pauses"),
            *self._flicker_rows(group, 2.0),
        ]

    def _flicker_rows(self, section: str, limit: float | None = None) -> list[Row]:
        row = self._row(section, "background flicker", "flicker", unit="levels")
        ratio = row.value / row.real if row.real else float("nan")
        return [row, Row(section, "background flicker by the real", ratio, 1.0, at_most=limit)]

    def _row(self, section: str, measure: str, key: str, **other: Any) -> Row:
        clips, beside = self._values[section, key], self._values.get((f"{section}/real", key))
        other.setdefault("real", _mean(beside.values()) if beside else None)
        return Row(section, measure, _mean(clips.values()), clips=clips, **other)

    def _put(self, section: str, clip: str, **values: float) -> None:
        for key, value in values.items():
            self._values.setdefault((section, key), {})[clip] = value

    def _put_flicker(self, section: str, clip: str, generated: ArrayLike | Tensor, real: ArrayLike | Tensor) -> None:
        self._put(section, clip, flicker=metrics.flicker(generated, self.still))
        self._put(f"{section}/real", clip, flicker=metrics.flicker(real, self.still))

    def _probe_yaw_error(self, yaw: float, reach: float = 3.0) -> float | None:
        """The probe's mean yaw error on real frames turned by `yaw` - `reach` degrees or more; None without any."""
        read, true = np.concatenate([np.empty((2, 0), np.float32), *self._yaws], 1)
        turned = np.abs(true) >= yaw - reach
        return float(np.abs(read - true)[turned].mean()) if turned.any() else None


def _spread(read: NDArray[np.float32], true: NDArray[np.float32]) -> float:
    """Deviation of one track by that of another; NaN where the other stands still."""
    return float(read.std() / true.std()) if true.std() > 0 else float("nan")


def _mean(values: Iterable[float]) -> float:
    """Mean of the numbers that are not NaN; NaN where none is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
