"""The completed landmarks of a dubbed film of any length and rate, in bounded memory.

Source: ours. The network runs at its own rate, window by window, on a grid that begins with each scene, so what comes
out does not depend on what is asked for at a time. Within a window of `tiny` every frame has all the neighbours that it
depends on: windows give what the whole gives. The published layout hears five frames at a time; its windows overlap and
fade. What is kept is how far the mouth is from rest: the rest itself moves with the film's own frames, and is the mouth
as it was read, whatever gap shut lips were read with (closing.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..acoustic.hearing import OutsideEar, hear
from ..acoustic.model import AcousticModel
from ..acoustic.stream import quiet_features
from ..datasets.labels import VISEMES
from ..errors import InputError
from ..media.audio import analysis_blocks
from ..media.source import AudioSource
from ..media.timebase import Rate, as_rate
from ..sequences import sample_at
from ..speech.features import FrontEnd
from ..speech.vad import VoiceActivityGate, gated_mel, warn_of_no_speech
from .audio_rows import AudioRows, mel_window_rows, stream_front
from .closing import shut_references, uncrossed
from .completion import LandmarkCompletion

WINDOW = 100
"""Frames of the network's rate that are completed at once, and `OVERLAP` of them once more, to fade."""

OVERLAP = 2

LARGEST_STRENGTH = 2.0


class CompletionModel(nn.Module):
    """The completion, the acoustic model it hears (None: the published layout, which hears the log-mel, or one that
    hears a speech encoder), the voice activity gate it hears through (None: none), and the ear that hears in the
    acoustic model's place (None: itself). Raises InputError for an acoustic model that is not the completion's, and for
    an ear that is not the acoustic model's.
    """

    def __init__(
        self,
        completion: LandmarkCompletion,
        acoustic: AcousticModel | None = None,
        gate: VoiceActivityGate | None = None,
        ear: OutsideEar | None = None,
    ) -> None:
        super().__init__()
        config = completion.config
        if (acoustic is None) != (config.published or config.front is not None):
            raise InputError(
                "a completion needs the acoustic model it was trained with; the published layout and those that hear a "
                "speech encoder have none."
            )
        if acoustic is not None and (acoustic.config.width, acoustic.config.fps) != (config.audio, config.fps):
            raise InputError(
                f"the completion hears {config.audio} values {config.fps} times a second, its acoustic model gives "
                f"{acoustic.config.width} at {acoustic.config.fps}; put both of one training run together."
            )
        if acoustic is not None and config.closing is not None and acoustic.config.visemes != len(VISEMES):
            raise InputError(
                f"lips close at p, b and m, but an acoustic model of {acoustic.config.visemes} classes tells others: "
                f"{len(VISEMES)} are needed."
            )
        if ear is not None:
            ear.check(acoustic)
        self.completion, self.acoustic, self.gate, self.ear = completion, acoustic, gate, ear

    @property
    def device(self) -> torch.device:
        """Where the completion computes."""
        return next(self.completion.parameters()).device

    def motion(
        self, audio: Tensor, landmarks: Tensor, references: Tensor, quiet: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """`LandmarkCompletion.motion`, with lips that close where the acoustic model hears p, b or m.

        quiet: what it hears in silence, [A]; the motion is then that from the mouth which the network has in silence.
        In landmarks as they are read off pictures that one is not quite the references' own: a face that is read with
        its lips apart is closed by it, which would take as much from every opening.
        """
        completion = self.completion
        if quiet is None:
            return completion.motion(audio, landmarks, references, self.pressed(audio))
        said, rest = completion.motion(audio, landmarks, references)
        still, _ = completion.motion(quiet.to(audio).expand_as(audio), landmarks, references)
        said = completion.closed(said - still, rest, self.pressed(audio))
        return uncrossed(rest + said, completion.landmarks) - rest, rest

    def quiet(self) -> Tensor | None:
        """What each frame hears in silence, [A] on the CPU; None for a completion that hears no acoustic model."""
        return None if self.acoustic is None else quiet_features(self.acoustic)

    def pressed(self, audio: Tensor) -> Tensor | None:
        """How likely a p, b or m is said in frames of the acoustic model's features [...,A]: [...]. None where lips do
        not close by that."""
        if self.acoustic is None or self.completion.config.closing is None:
            return None
        return self.acoustic.pressed(audio)

    def listen(self, source: AudioSource, encoded: FrontEnd | None = None) -> Iterator[Tensor]:
        """What each frame at the completion's rate hears, in blocks [n,A] or [n,80,16]; all but speech is silent.

        Silence follows the sound; where nothing more comes, the last frame holds. encoded: a speech encoder's features
        of the same sound, for a completion that was trained on them; no gate fades those. Raises InputError where it
        hears them and there are none, and the other way round.
        """
        place = self.device if self.gate is None else next(self.gate.parameters()).device
        if encoded is not None or self.completion.front is not None:
            steps = self._encoded(source, encoded)
            warn_of_no_speech(source, self.gate, place)
            return stream_front(self.completion, steps)
        if self.acoustic is not None:
            return hear(self.acoustic, self.gate, source, place, self.ear)
        mel = gated_mel(source, self.gate, place)
        return mel_window_rows(mel, self.completion.config.fps, self.completion.config.mel_shift)

    def _encoded(self, source: AudioSource, encoded: FrontEnd | None) -> Iterator[Tensor]:
        """The encoder's features in blocks [s,dim], once they are those of the front end."""
        front = self.completion.config.front
        if front is None:
            raise InputError("this completion hears no audio encoder; leave its output out.")
        kind = f"{front.dim} values at {front.rate} steps a second"
        if encoded is None:
            raise InputError(f"this completion hears an audio encoder of {kind}: give its features of the sound.")
        if (encoded.dim, encoded.rate) != (front.dim, front.exact_rate):
            told = f"{encoded.dim} at {encoded.rate}"
            raise InputError(f"this completion hears an audio encoder of {kind}, not of {told}; use the one it knows.")
        return iter(encoded.stream(analysis_blocks(source)))


class CompletedLandmarks:
    """The landmarks of a dubbed film's frames, jaw and lips as the sound has them."""

    def __init__(
        self,
        model: CompletionModel,
        source: AudioSource,
        landmarks: Tensor,
        cuts: Sequence[int],
        references: Tensor,
        fps: Rate,
        strength: float = 1.0,
        encoded: FrontEnd | None = None,
    ) -> None:
        """landmarks [F,P,2] of the film's frames in shares of the aligned crop; cuts: the first frames of its scenes
        but the first; references [N,P,2]; strength: how far the mouth goes from rest, 1 as the sound has it; encoded:
        an audio encoder's features of the sound, see `CompletionModel.listen`.

        Raises InputError for other shapes, cuts and strengths.
        """
        known = model.completion.landmarks
        known.check(landmarks, 3)
        known.check(references, 3, "references")
        if not 0 <= strength <= LARGEST_STRENGTH:
            raise InputError(f"strength {strength} of the mouth; it lies between 0 and {LARGEST_STRENGTH:g}.")
        edges = [0, *cuts, len(landmarks)]
        if not len(landmarks) or any(a >= b for a, b in pairwise(edges)):
            raise InputError(f"cuts {list(cuts)[:8]} of {len(landmarks)} frames; they rise, and lie within the film.")
        self.model, self.strength = model, float(strength)
        self._landmarks, self._edges = landmarks.float().cpu(), edges
        self._references = references.float().cpu()
        self._quiet = model.quiet()
        # Those that hear no acoustic model learnt from lips as a face net reads them.
        self._shown = self._references if self._quiet is None else shut_references(self._references, known)
        self._ratio = Fraction(model.completion.config.fps) / as_rate(fps)
        self._audio = AudioRows(model.listen(source, encoded))
        self._scenes: dict[int, SceneMotion] = {}

    def at(self, frames: Sequence[int]) -> Tensor:
        """Landmarks [n,P,2] of rising frames, float32 on the CPU.

        Frames may be left out. What was asked for last can be asked for again, whole or in parts; what lies before that
        is gone. Raises InputError for frames that do not rise, that are gone, and that the film does not have.
        """
        frames = [int(k) for k in frames]
        if any(a >= b for a, b in pairwise(frames)):
            raise InputError("frames of completed landmarks are asked for as they rise.")
        if not frames:
            return self._landmarks[:0]
        if frames[0] < 0 or frames[-1] >= len(self._landmarks):
            raise InputError(f"frames {frames[0]} to {frames[-1]} of a film of {len(self._landmarks)}.")
        parts, begun = [], self._scene_of(frames[0])
        for scene in range(begun, self._scene_of(frames[-1]) + 1):
            inside = [k for k in frames if self._edges[scene] <= k < self._edges[scene + 1]]
            if inside:
                parts.append(self._motion(scene).at([self._place(k) for k in inside]))
        for gone in [scene for scene in self._scenes if scene < begun]:
            del self._scenes[gone]
        shown = self._landmarks[frames]
        completion = self.model.completion
        rest = completion.rest(shown[None], self._references[None])[0]
        return completion.place(shown, rest + self.strength * torch.cat(parts))

    def _place(self, frame: int) -> Fraction:
        """Where a frame of the film lies among those of the network's rate."""
        return Fraction(2 * frame + 1, 2) * self._ratio - Fraction(1, 2)

    def _scene_of(self, frame: int) -> int:
        return sum(edge <= frame for edge in self._edges[1:-1])

    def _motion(self, scene: int) -> SceneMotion:
        if scene not in self._scenes:
            if scene < max(self._scenes, default=0):
                raise InputError("frames of a scene that has gone by; ask for landmarks as the film goes.")
            first, stop = self._edges[scene], self._edges[scene + 1]
            low = max(math.floor(self._place(first)), 0)
            high = max(math.floor(self._place(stop - 1)) + 2, low + 1)

            def pose(rows: Tensor) -> Tensor:
                """The scene's landmarks at rows of the network's rate; before and after it those of its ends hold."""
                places = (rows.double() + 0.5) / float(self._ratio) - 0.5 - first
                return sample_at(self._landmarks[first:stop], places)

            self._scenes[scene] = SceneMotion(self.model, self._audio, pose, self._shown, self._quiet, low, high)
        return self._scenes[scene]


class SceneMotion:
    """How far jaw and lips are from rest in rows `first` to `stop` - 1 of the network's rate, which show one scene."""

    def __init__(
        self,
        model: CompletionModel,
        audio: AudioRows,
        pose: Callable[[Tensor], Tensor],
        references: Tensor,
        quiet: Tensor | None,
        first: int,
        stop: int,
    ) -> None:
        """pose: the scene's landmarks [n,P,2] at rows [n]; quiet: see `CompletionModel.motion`."""
        config = model.completion.config
        self._model, self._audio, self._pose, self._references = model, audio, pose, references
        self._quiet = quiet
        self._first, self._stop = first, stop
        self._reach = 0 if config.published else config.reach
        self._length = config.frames if config.published else WINDOW
        self._rows = torch.zeros(0, len(model.completion.landmarks.content), 2)
        self._begin = first  # the row that `_rows` begin with
        self._faded = first  # up to here no window comes to change them

    def at(self, places: Sequence[Fraction]) -> Tensor:
        """The motion [n,C,2] at rising places among the rows, linear between them."""
        low, high = max(math.floor(places[0]), self._first), min(math.floor(places[-1]) + 2, self._stop)
        if low < self._begin:
            raise InputError("frames that have gone by; ask for landmarks as the film goes.")
        while self._faded < high:
            self._advance()
        gone = min(low, self._faded - 1) - self._begin
        self._rows, self._begin = self._rows[gone:], self._begin + gone
        return sample_at(self._rows, torch.tensor([float(p - self._begin) for p in places], dtype=torch.float64))

    def _advance(self) -> None:
        """One window more. Nothing is changed before it is there: memory may run out, and it is asked for again."""
        done = self._begin + len(self._rows)
        first = max(done - OVERLAP, self._first)
        stop = min(first + self._length, self._stop)
        first = max(min(first, stop - self._length), self._first)
        window = self._window(first, stop)[max(self._faded - first, 0) :]
        kept, tail = self._rows[: self._faded - self._begin], self._rows[self._faded - self._begin :]
        if len(tail):
            ramp = (torch.arange(len(tail)) + 0.5) / len(tail)
            window = torch.cat([torch.lerp(tail, window[: len(tail)], ramp[:, None, None]), window[len(tail) :]])
        self._rows = torch.cat([kept, window])
        self._faded = stop if stop == self._stop else stop - OVERLAP

    @torch.no_grad()
    def _window(self, first: int, stop: int) -> Tensor:
        low, high = max(first - self._reach, 0), stop + self._reach
        heard = self._audio.read(low, high)
        device = self._model.device
        inputs = (heard, self._pose(torch.arange(low, high)), self._references)
        motion, _ = self._model.motion(*(part[None].to(device) for part in inputs), self._quiet)
        return motion[0, first - low : stop - low].float().cpu()
