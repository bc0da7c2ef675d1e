"""Speech front ends: 16 kHz mono sound in, a sequence of feature vectors out, as a stream.

LogMel is the mel spectrogram that Wav2Lip introduced and the later systems share (its audio.py and hparams.py).
EncodedAudio hands on what a speech encoder of the host (wav2vec 2.0, HuBERT, Whisper) made of the same sound.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..media.timebase import SAMPLE_RATE, frame_count
from .mel_scale import triangles


class FrontEnd(ABC):
    """Turns mono sound at 16 kHz into features.

    dim: length of one feature vector. rate: steps per second. offset: the time that step 0 is centred on, in seconds,
    so step s shows the time offset + s / rate. N samples give ceil(N * rate / 16000) steps.
    """

    dim: int
    rate: Fraction
    offset: Fraction = Fraction(0)

    @abstractmethod
    def stream(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Float32 features [steps, dim], steps > 0, of sound that comes in blocks [n] of any length."""

    def __call__(self, waveform: Tensor) -> Tensor:
        """Float32 features [steps, dim] of a whole waveform [N] in -1..1. Raises InputError if it is empty."""
        if waveform.ndim != 1 or not len(waveform):
            raise InputError(f"speech features need a mono waveform [N] with N > 0, got shape {list(waveform.shape)}")
        return torch.cat(list(self.stream([waveform])))


class LogMel(FrontEnd):
    """Log-mel spectrogram: 80 values in [-4, 4], 80 steps a second, step s centred on sample 200 * s.

    Pre-emphasis 0.97; magnitude of a centred STFT (Hann window of 800, hop 200, zeros beyond both ends); librosa's
    mel filters (mel_scale.py), 55 to 7600 Hz; decibels with 20 dB as reference; -100..0 dB scaled to -4..4, clipped.
    It is computed in windows, so an hour needs no more memory than a minute.
    """

    N_FFT = 800
    HOP = 200
    PREEMPHASIS = 0.97
    F_MIN, F_MAX = 55.0, 7600.0
    REF_DB, FLOOR_DB = 20.0, -100.0
    LIMIT = 4.0
    SILENCE = -4.0

    dim = 80
    rate = Fraction(SAMPLE_RATE, HOP)
    _LONGEST = 30 * SAMPLE_RATE

    def stream(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        buffer: Tensor | None = None
        total = done = 0
        before = 0.0
        for block in blocks:
            for piece in block.float().split(self._LONGEST):
                emphasised = piece.clone()
                emphasised[1:] -= self.PREEMPHASIS * piece[:-1]
                emphasised[:1] -= self.PREEMPHASIS * before
                before, total = piece[-1].item(), total + len(piece)
                buffer = piece.new_zeros(self.N_FFT // 2) if buffer is None else buffer
                buffer = torch.cat([buffer, emphasised])
                steps = (len(buffer) - self.N_FFT) // self.HOP + 1
                if steps > 0:
                    yield self._log_mel(buffer[: (steps - 1) * self.HOP + self.N_FFT])
                    buffer, done = buffer[steps * self.HOP :], done + steps
        steps = frame_count(total, SAMPLE_RATE, self.rate) - done
        if buffer is not None and steps > 0:
            end = (steps - 1) * self.HOP + self.N_FFT
            yield self._log_mel(torch.nn.functional.pad(buffer, (0, end - len(buffer))))

    def _log_mel(self, emphasised: Tensor) -> Tensor:
        """Samples [(s - 1) * hop + n_fft] to features [s, 80]."""
        window = torch.hann_window(self.N_FFT, device=emphasised.device)
        spectrum = torch.stft(emphasised, self.N_FFT, self.HOP, window=window, center=False, return_complex=True)
        mel = torch.from_numpy(mel_filters()).to(emphasised.device) @ spectrum.abs()
        decibels = 20 * torch.log10(mel.clamp_min(10 ** (self.FLOOR_DB / 20))) - self.REF_DB
        scaled = 2 * self.LIMIT * (decibels - self.FLOOR_DB) / -self.FLOOR_DB - self.LIMIT
        return scaled.clamp(-self.LIMIT, self.LIMIT).T.contiguous()


@lru_cache(maxsize=1)
def mel_filters() -> NDArray[np.float32]:
    """The filters of LogMel, float32 [80, 401]."""
    return triangles(LogMel.dim, LogMel.F_MIN, LogMel.F_MAX, SAMPLE_RATE, LogMel.N_FFT)


class EncodedAudio(FrontEnd):
    """Features that the host's AudioEncoderEncode made of the same sound (AUDIO_ENCODER_OUTPUT), at 50 steps a second.

    output: "encoded_audio" [1, T, D]; "encoded_audio_all_layers" a tuple of such, used when `layer` is given;
    "audio_samples" the length it heard, at 16 kHz. The projection from D to a model's width belongs to the model.

    wav2vec 2.0 and HuBERT give (N - 400) // 320 + 1 steps for N samples, each centred in 400 samples. Whisper always
    gives 1500 steps, however short the sound, and hears nothing after 30 s. Both are cut or repeated at the end to
    ceil(N / 320) steps. Sound of another length than was encoded is an InputError.
    """

    HOP = 320
    RECEPTIVE_FIELD = 400
    WHISPER_STEPS = 1500
    _SLACK = 2  # steps: resamplers round differently

    rate = Fraction(SAMPLE_RATE, HOP)

    def __init__(self, output: Mapping[str, Any], layer: int | None = None) -> None:
        if not isinstance(output, Mapping) or "encoded_audio" not in output:
            raise InputError('not an AUDIO_ENCODER_OUTPUT: expected a dict with "encoded_audio"')
        layers = output.get("encoded_audio_all_layers") or ()
        if layer is not None and not -len(layers) <= layer < len(layers):
            raise InputError(f"layer {layer} of the audio encoder does not exist; it gave {len(layers)} layers")
        features = output["encoded_audio"] if layer is None else layers[layer]
        if not isinstance(features, Tensor) or features.ndim != 3 or 0 in features.shape:
            shape = list(getattr(features, "shape", ()))
            raise InputError(f"encoded audio has shape {shape}; expected [1, steps, features]")
        self._features = features[0].detach().to("cpu", torch.float32)
        if not torch.isfinite(self._features).all():
            raise InputError("encoded audio holds NaN; run the audio encoder in a wider number format such as float32")
        self.dim = self._features.shape[1]
        samples = output.get("audio_samples")
        self._whisper = len(self._features) == self.WHISPER_STEPS and (
            samples is None or abs(self._encoder_steps(samples) - self.WHISPER_STEPS) > self._SLACK
        )
        self.offset = Fraction(0) if self._whisper else Fraction(self.RECEPTIVE_FIELD - 1, 2 * SAMPLE_RATE)
        if samples is not None:
            self._check(samples)

    @classmethod
    def mixed(cls, output: Mapping[str, Any], weights: Tensor) -> "EncodedAudio":
        """All hidden states of such an output, mixed by `weights` [layers]. Raises InputError for another number."""
        given = output.get("encoded_audio_all_layers") if isinstance(output, Mapping) else None
        layers = [] if given is None else list(given)
        if len(layers) != len(weights):
            raise InputError(
                f"the audio encoder gave {len(layers)} hidden states, this model reads {len(weights)}: encode the "
                "audio with the encoder that it was trained on"
            )
        # One after the other: together they are many times as large as what they are mixed to.
        mix = sum(layer.detach().to("cpu", torch.float32) * share for layer, share in zip(layers, weights, strict=True))
        return cls({**output, "encoded_audio": mix, "encoded_audio_all_layers": ()})

    def stream(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        total = done = 0
        for block in blocks:
            total += len(block)
            whole = min(total // self.HOP, len(self._features))
            if whole > done:
                yield self._features[done:whole]
                done = whole
        if not total:
            return
        self._check(total)
        steps = torch.arange(done, frame_count(total, SAMPLE_RATE, self.rate))
        if len(steps):
            yield self._features[steps.clamp(max=len(self._features) - 1)]

    @classmethod
    def _encoder_steps(cls, samples: int) -> int:
        return max((samples - cls.RECEPTIVE_FIELD) // cls.HOP + 1, 1)

    def _check(self, samples: int) -> None:
        steps, seconds = len(self._features), samples / SAMPLE_RATE
        if self._whisper and samples > (steps + self._SLACK) * self.HOP:
            raise InputError(
                f"audio of {seconds:.2f} s is too long for Whisper, which hears 30 s: use wav2vec 2.0 or mel"
            )
        if not self._whisper and abs(self._encoder_steps(samples) - steps) > self._SLACK:
            covered = steps * self.HOP / SAMPLE_RATE
            raise InputError(
                f"encoded audio covers {covered:.2f} s but the audio is {seconds:.2f} s: encode the same audio"
            )
