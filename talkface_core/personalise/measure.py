"""Measures a person on the footage that nothing was trained on: with the weights at the beginning, and with their own.

Three things are made of each held-out clip, each beside what is real: the face that says the clip's sound (told the
true head pose and lids, so that pictures can be compared), the clip's own frames drawn again from their latents, and
its faces made soft, as Wav2Lip leaves them, and restored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..dae_talker.decode import decode, encode, fit_square, noise_from_seed
from ..dae_talker.model import DAETalker, load_dae_talker
from ..dae_talker.pipeline import speak
from ..dae_talker.windows import Control
from ..datasets.aligned_faces import face_crops
from ..datasets.clips import Clip, ClipSet
from ..datasets.labels import eye_track
from ..errors import InputError
from ..evaluation.catalogue import METRICS, chosen
from ..evaluation.clip_files import ClipFiles, read_footage_of, read_pair
from ..evaluation.evaluate import ClipScores, Evaluation, score
from ..evaluation.kit import bundled_kit
from ..faces.face import Detector
from ..ladtalk.degrade import Degradation, degrade
from ..ladtalk.enhance import restore
from ..ladtalk.model import load_sovqae
from ..ladtalk.sovqae import SOVQAE
from ..media.audio import open_audio
from ..media.timebase import FPS
from ..media.video_writer import VideoWriter
from ..pixels import to_bytes
from .watching import Watcher

Frames = Iterator[NDArray[np.uint8]]

REAL, BEFORE, AFTER = "real", "before", "after"
SPOKEN, DRAWN, RESTORED = "spoken", "drawn", "restored"
KINDS = {
    SPOKEN: "DAE-Talker says the sound of the held-out footage",
    DRAWN: "DAE-Talker draws the held-out frames again from their latents",
    RESTORED: "SOVQAE restores the held-out faces, made soft as Wav2Lip leaves them",
}
_PICTURES = tuple(
    key for key, one in METRICS.items() if one.group in ("picture", "time") and not key.startswith("seam")
)
MEASURED = {
    SPOKEN: tuple(key for key in METRICS if not key.startswith("seam")),
    DRAWN: _PICTURES,
    RESTORED: _PICTURES,
}
"""The metrics of each kind; a seam is what pasted mouths have."""

_AT_ONCE = 16
_CRF = 10  # what is measured is the network, not the codec
_SOFT = Degradation(sigma=0.5)


@dataclass(frozen=True)
class Measured:
    """One kind of film, with the weights at the beginning and with the person's own.

    Clips in which no face was found are left out: weights that know nothing draw none.
    """

    kind: str
    before: Evaluation
    after: Evaluation

    def pairs(self) -> list[tuple[ClipScores | None, ClipScores | None]]:
        """Each clip before and after, None where no face was found; one of both is there."""
        sides = [{clip.name: clip for clip in one.clips} for one in (self.before, self.after)]
        return [(sides[0].get(name), sides[1].get(name)) for name in dict.fromkeys([*sides[1], *sides[0]])]


def held_out(data: Path, seconds: float) -> ClipSet:
    """Clips of the held-out footage, of so many seconds at least where there are as many."""
    clips = ClipSet.open(data / "val")
    taken: list[Clip] = []
    for clip in clips.clips:
        if sum(one.frames for one in taken) >= seconds * FPS:
            break
        taken.append(clip)
    return ClipSet(clips.folder, tuple(taken))


def measure(
    folder: Path,
    clips: ClipSet,
    weights: Mapping[str, tuple[str | Path, str | Path]],
    detector: Detector,
    device: str = "auto",
    quiet: bool = True,
    watcher: Watcher | None = None,
    seconds: float = 10.0,
) -> list[Measured]:
    """Make all films in `folder` that are not there yet, and measure them.

    weights: of `before` and `after`, the checkpoints of DAE-Talker and of the SOVQAE; seconds: of each clip at most.
    """
    watcher = watcher or Watcher()
    total, done = 2 * len(KINDS) * len(clips.clips), 0
    kit = bundled_kit()
    talkers = {side: load_dae_talker(talker, device) for side, (talker, _) in weights.items()}
    # The largest that both can draw and the footage has, so that they can be held against the same real film.
    known = set.intersection(*({*talker.autoencoder.sizes} for talker in talkers.values()))
    size = max((side for side in known if side <= clips.clips[0].width), default=min(known))
    films = {
        side: _films(folder, clips, side, talkers[side], texture, size, device, quiet, watcher, seconds)
        for side, (_, texture) in weights.items()
    }
    measured = []
    for kind in KINDS:
        metrics = chosen(MEASURED[kind])
        scores: dict[str, list] = {side: [] for side in films}
        for clip in clips.clips:
            path = _path(folder, kind, REAL, clip.name)
            real = read_footage_of(path, detector, seconds, progress=lambda _: watcher.check())
            for side in films:
                files = ClipFiles(clip.name, films[side][kind][clip.name], path)
                done += 1
                watcher.advance(done / total)
                try:
                    pair = read_pair(files, detector, kit.gate, seconds, progress=lambda _: watcher.check(), real=real)
                except InputError:  # the film is ours, so all that can be wrong with it is that it shows no face
                    continue
                scores[side].append(score(pair, kit, metrics, lambda _: watcher.check()))
        sides = (Evaluation(tuple(scores[side]), metrics, {"clips": len(clips.clips)}) for side in (BEFORE, AFTER))
        measured.append(Measured(kind, *sides))
    return measured


def _films(
    folder: Path,
    clips: ClipSet,
    side: str,
    talker: DAETalker,
    texture_file: str | Path,
    size: int,
    device: str,
    quiet: bool,
    watcher: Watcher,
    seconds: float,
) -> dict[str, dict[str, Path]]:
    """The films of one side by kind and clip's name; those of what is real beside them."""
    paths = {kind: {clip.name: _path(folder, kind, side, clip.name) for clip in clips.clips} for kind in KINDS}
    real = {kind: {clip.name: _path(folder, kind, REAL, clip.name) for clip in clips.clips} for kind in KINDS}
    if all(path.is_file() for group in (paths, real) for named in group.values() for path in named.values()):
        return paths
    texture, cache = load_sovqae(texture_file, device), folder / "cache"
    side_px = texture.config.image_size
    frames, faces = clips.frame_cache(size, cache, quiet), face_crops(clips, side_px, cache, quiet=quiet)
    for k, clip in enumerate(clips.clips):
        part = slice(int(clips.starts[k]), int(clips.starts[k + 1]))
        own, cut = frames[part], faces.frames[part]
        # A film is made when it is asked for its first frame: what is there already is not made again.
        made = {
            **{(kind, REAL): _chunks(shown) for kind, shown in ((SPOKEN, own), (DRAWN, own), (RESTORED, cut))},
            (SPOKEN, side): _spoken(talker, clip, size),
            (DRAWN, side): _drawn(talker, own, size),
            (RESTORED, side): _restored(texture, cut),
        }
        for (kind, which), film in made.items():
            if not (path := _path(folder, kind, which, clip.name)).is_file():
                _write(path, film, clip, watcher, seconds)
    return paths


def _path(folder: Path, kind: str, side: str, name: str) -> Path:
    return folder / kind / side / f"{name}.mp4"


def _write(path: Path, frames: Frames, clip: Clip, watcher: Watcher, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    first = next(frames)
    height, width = first.shape[1:3]
    with VideoWriter(path, width, height, clip.fps, open_audio(clip.sound), crf=_CRF) as writer:
        writer.write(first)
        for chunk in frames:
            watcher.check()
            if writer.frames >= seconds * FPS:
                break
            writer.write(chunk)


def _chunks(frames: NDArray[np.uint8]) -> Frames:
    for start in range(0, len(frames), _AT_ONCE):
        yield np.array(frames[start : start + _AT_ONCE])


def _spoken(talker: DAETalker, clip: Clip, size: int) -> Frames:
    truth = clip.truth()
    pose = torch.from_numpy(np.asarray(truth["pose"], np.float32))
    control = Control(pose=pose, eyes=eye_track(truth["eye_open"])).checked(clip.frames)
    for chunk in speak(talker, open_audio(clip.sound), clip.fps, control, size=size):
        yield chunk.numpy()


def _drawn(talker: DAETalker, frames: NDArray[np.uint8], size: int) -> Frames:
    model = talker.autoencoder
    own = model.config.image_size
    shown = (fit_square(torch.from_numpy(chunk), own) for chunk in _chunks(frames))
    latents = encode(model, shown)
    noise = noise_from_seed(model, 0)
    for chunk in decode(model, latents, noise, size=size):
        yield chunk.cpu().numpy()


def _restored(model: SOVQAE, faces: NDArray[np.uint8]) -> Frames:
    for chunk in _chunks(faces):
        soft = np.stack([degrade(face, _SOFT) for face in chunk])
        yield np.asarray(to_bytes(restore(model, soft)[1].cpu()))


def numbers(measured: Sequence[Measured]) -> dict[str, dict[str, dict[str, float | None]]]:
    """kind -> metric's key -> before, after, real; None where one is not known."""
    told: dict[str, dict[str, dict[str, float | None]]] = {}
    for one in measured:
        rows = {side: {row.key: row for row in evaluation.report().rows} for side, evaluation in
                ((BEFORE, one.before), (AFTER, one.after))}  # fmt: skip
        keys = dict.fromkeys([*rows[AFTER], *rows[BEFORE]])
        told[one.kind] = {
            key: {
                BEFORE: _number(rows[BEFORE].get(key), "value"),
                AFTER: _number(rows[AFTER].get(key), "value"),
                REAL: _number(rows[AFTER].get(key) or rows[BEFORE].get(key), "real"),
            }
            for key in keys
        }
    return told


def _number(row: object, name: str) -> float | None:
    value = getattr(row, name, None)
    return value if value is not None and np.isfinite(value) else None
