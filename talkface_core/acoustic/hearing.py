"""What a sound is to the networks that hear acoustic features: by the acoustic model, or by a better ear.

Source: ours. The acoustic model hears the log-mel. An `OutsideEar` hears by an encoder that was trained elsewhere
(Whisper: its first blocks are bundled, a user may bring all) and gives features of the same kind. In both cases the
voice activity gate decides where nobody speaks; there, features are those that the acoustic model has of silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checkpoints import PRETRAINED, CheckpointError, list_checkpoints, read_checkpoint, read_header
from ..components import build, table
from ..device import Operations
from ..errors import InputError
from ..media.audio import AudioSource, analysis_blocks
from ..media.timebase import SAMPLE_RATE, frame_count
from ..sequences import StreamBuffer
from ..speech.features import LogMel
from ..speech.vad import VoiceActivityGate, gated_mel
from ..speech.whisper import WHISPER, WhisperEncoder
from ..speech.whisper_mel import WhisperFeatures
from .encoded_ear import BUNDLED, EAR, EarConfig, EncodedEar, feature_space, stream_ear
from .model import AcousticModel
from .stream import AFTER, counted, held_back, quiet_features, silence, stream_into_silence

BLOCK = 64
"""Frames for which the gate is looked at together."""

_AROUND = 1
"""Frames to either side over which features fade where the gate opens and shuts."""

DEFAULT_EAR = "bundled"
"""In the place of an ear's name: `SMALL_EAR`, where it fits."""

NO_EAR = "none"
"""In the place of an ear's name: the acoustic model hears by itself."""

SMALL_EAR = "ear_tiny"
"""The bundled checkpoint whose ear hears unless another is asked for: a Whisper's first blocks and what follows."""

_WANTED = (
    "expected the encoder of a Whisper (models --fetch whisper-base, or --convert its model.safetensors), "
    f"{SMALL_EAR} or {NO_EAR}."
)

COMPONENTS = table(WHISPER, EAR)
"""Of a converted Whisper, which may hold an ear of its own."""

_WHOLE = 2**40  # frames: more than any sound has


class OutsideEar(nn.Module):
    """An encoder, and the ear that makes acoustic features of its steps. Raises InputError where they do not fit."""

    def __init__(self, encoder: WhisperEncoder, ear: EncodedEar) -> None:
        super().__init__()
        width, known = encoder.config.width, ear.config.dim
        if width != known:
            raise InputError(
                f"this Whisper gives {width} values a step, the ear reads {known}: bring Whisper base (models --fetch "
                "whisper-base) or train an ear for this one (train whisper-ear)."
            )
        self.encoder, self.ear = encoder, ear

    def check(self, acoustic: AcousticModel | None) -> None:
        """Raises InputError unless it gives the features of this acoustic model."""
        if acoustic is None:
            raise InputError("this model hears no acoustic features, and an ear gives nothing else; leave the ear out.")
        if not _fits(self.ear.config, acoustic):
            raise InputError(
                "the ear was trained for another acoustic model than this checkpoint's; train one for it (train "
                "whisper-ear --acoustic FILE), or leave the ear out."
            )

    def stream(self, waves: Iterable[Tensor]) -> Iterator[Tensor]:
        """Acoustic features in blocks [t,F] of sound in blocks [n]."""
        return stream_ear(self.ear, WhisperFeatures(self.encoder).stream(waves))


def check_ear(path: str | Path) -> Path:
    """The file of a converted Whisper, which may be a bundled one's name; its header alone is read. Raises
    CheckpointError for anything else."""
    name, path = str(path), list_checkpoints().get(str(path)) or Path(path)
    if not name or not path.is_file():
        found = "no name" if not name else "a folder" if path.is_dir() else "no such file"
        raise CheckpointError(f"ear {name}: found {found}; {_WANTED}")
    try:
        header = read_header(path)
    except CheckpointError as error:
        raise CheckpointError(f"{error} As an ear {_WANTED}") from error
    if WHISPER.name not in header.configs:
        found = f"{', '.join(sorted(header.configs))} of {header.system}"
        raise CheckpointError(f"{path}: found {found}; {_WANTED}")
    return path


def load_ear(
    path: str | Path,
    operations: Operations = nn,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> OutsideEar:
    """An ear of a converted Whisper, with the ear that the file holds itself, else with the one for Whisper base.

    dtype: the encoder's; the ear is float32. Raises CheckpointError for a file without an encoder, and where the ear is
    made for another.
    """
    checkpoint = read_checkpoint(check_ear(path))
    own = EAR.name in checkpoint.configs
    ear = build(checkpoint if own else read_checkpoint(PRETRAINED / f"{BUNDLED}.safetensors"), EAR)
    try:
        return OutsideEar(build(checkpoint, WHISPER, operations, dtype), ear).eval().to(device)
    except CheckpointError:
        raise
    except InputError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error


Ears = Callable[[AcousticModel | None], OutsideEar | None]
"""Who hears in an acoustic model's place; None: itself."""


def no_ear(acoustic: AcousticModel | None) -> None:
    """Acoustic models hear by themselves."""


def pick_ear(
    name: str | Path | None = None,
    operations: Operations = nn,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Ears:
    """The ear of a converted Whisper by name or path, for any acoustic model; `NO_EAR`: none; None or `DEFAULT_EAR`:
    the bundled one where its features are the acoustic model's. dtype: the encoder's. Raises CheckpointError as
    `load_ear` does."""
    if str(name) == NO_EAR:
        return no_ear
    if name is not None and str(name) != DEFAULT_EAR:
        ear = load_ear(name, operations, dtype, device)
        return lambda acoustic: ear

    def bundled(acoustic: AcousticModel | None) -> OutsideEar | None:
        path = list_checkpoints().get(SMALL_EAR)
        if acoustic is None or path is None or not _fits(read_header(path).config(EAR.name, EarConfig), acoustic):
            return None
        return load_ear(path, operations, dtype, device)

    return bundled


def _fits(ear: EarConfig, acoustic: AcousticModel) -> bool:
    """Whether an ear gives the features of an acoustic model."""
    fps = WhisperFeatures.rate / ear.steps
    same = (acoustic.config.width, acoustic.config.fps) == (ear.features, fps)
    return same and feature_space(acoustic) in ear.spaces


def hear(
    acoustic: AcousticModel,
    gate: VoiceActivityGate | None,
    source: AudioSource,
    place: torch.device,
    ear: OutsideEar | None = None,
) -> Iterator[Tensor]:
    """Acoustic features in blocks [n,W] of a sound and two seconds of silence behind it; all but speech is silent.

    The gate (None: nothing is faded but digital silence) runs on `place`. Warns of a sound without speech.
    """
    return hear_faded(acoustic, gated_mel(source, gate, place), source, ear)


def hear_faded(
    acoustic: AcousticModel, faded: Iterable[Tensor], source: AudioSource, ear: OutsideEar | None = None
) -> Iterator[Tensor]:
    """The same where the sound's faded log-mel is at hand, in blocks [s,80]."""
    if ear is None:
        return stream_into_silence(acoustic, faded)
    return _by(ear, acoustic, faded, source)


def _by(ear: OutsideEar, acoustic: AcousticModel, faded: Iterable[Tensor], source: AudioSource) -> Iterator[Tensor]:
    after = torch.zeros(int(AFTER / LogMel.rate * SAMPLE_RATE))
    heard = StreamBuffer(ear.stream(chain(analysis_blocks(source), [after])))
    fps = acoustic.config.fps
    quiet = quiet_features(acoustic)
    done = 0
    for gain in held_back(frame_gains(chain(faded, [silence()]), fps), fps):
        stop = done + len(gain)
        rows, begin = heard.read(done, stop)
        if rows is None:
            return
        # The two clocks may disagree by one frame at the end, where all is silent.
        rows = rows[(torch.arange(done, stop) - begin).clamp(0, len(rows) - 1)]
        yield torch.lerp(quiet, rows, gain)
        done = stop


def frame_gains(faded: Iterable[Tensor], fps: int) -> Iterator[Tensor]:
    """How far anything is heard in frames, blocks [n,1] in 0..1, of a faded log-mel in blocks [s,80]."""
    count = [0]
    steps, ratio, done, total = StreamBuffer(counted(faded, count)), LogMel.rate / fps, 0, _WHOLE
    while done < total:
        wanted = int((done + BLOCK + _AROUND) * ratio) + 1
        rows, begin = steps.read(max(int((done - _AROUND) * ratio), 0), wanted)
        if rows is None:
            return
        if begin + len(rows) < wanted:
            total = frame_count(count[0], int(LogMel.rate), fps)
        stop = min(done + BLOCK, total)
        loud = (rows > LogMel.SILENCE).any(1).float()
        gains = []
        for frame in range(done, stop):
            first = max(int((frame - _AROUND) * ratio) - begin, 0)
            gains.append(loud[first : max(int((frame + 1 + _AROUND) * ratio) - begin, first + 1)].mean())
        yield torch.stack(gains)[:, None]
        done = stop
