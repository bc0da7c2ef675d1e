"""All hidden states of a large speech encoder, mixed as a model's weights say, for the command line.

Source: ours. In the graph the host's own Audio Encoder makes them (`EncodedAudio.mixed`); without a host they come from
transformers, where that is installed, or from a file that another program wrote. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..arrays import read_npy
from ..errors import InputError
from ..media.timebase import SAMPLE_RATE, frame_count
from ..sequences import windowed
from .features import EncodedAudio, FrontEnd

Mixed = Callable[[Tensor], FrontEnd]
"""Hidden states of one sound on demand: of the weights [layers] by which they are mixed."""

WINDOW, OVERLAP = 1500, 100
"""Steps that the encoder hears at once, half a minute, and that neighbours share."""


def hidden_states_from(path: str | Path, device: torch.device | str = "cpu") -> Mixed:
    """Those of `path`: a folder with a HuBERT or wav2vec 2.0 as transformers keeps them, which hears the sound on
    `device`, or a .npy file [layers, steps, width] of that sound. Raises InputError for anything else."""
    path = Path(path)
    if path.is_dir():
        model, normalises = _load(path, torch.device(device))
        return lambda weights: HeardByTransformers(model, weights, normalises)
    if path.suffix != ".npy":
        what = "a file" if path.is_file() else "nothing"
        raise InputError(
            f"{path}: found {what}; expected a folder with a HuBERT in transformers' form (config.json and "
            "weights), or its hidden states as .npy [layers, steps, width]"
        )
    states = torch.from_numpy(read_npy(path))
    if states.ndim != 3 or not states.is_floating_point() or 0 in states.shape:
        raise InputError(
            f"{path}: found an array of shape {list(states.shape)}; expected [layers, steps, width] floats"
        )
    return lambda weights: EncodedAudio.mixed(
        {"encoded_audio": None, "encoded_audio_all_layers": states[:, None]}, weights
    )


class HeardByTransformers(FrontEnd):
    """Mixed hidden states of a transformers model, in windows: those of a sound that fits one are as the whole's.

    model: gives `hidden_states`; weights [layers] on the CPU; normalises: whether it wants sound of mean 0 and
    deviation 1, which is each window's. Raises InputError where it has another number of layers.
    """

    rate = Fraction(SAMPLE_RATE, EncodedAudio.HOP)
    offset = Fraction(EncodedAudio.RECEPTIVE_FIELD - 1, 2 * SAMPLE_RATE)

    def __init__(self, model: Any, weights: Tensor, normalises: bool) -> None:
        layers = model.config.num_hidden_layers + 1
        if layers != len(weights):
            raise InputError(
                f"the speech encoder gives {layers} hidden states, this model reads {len(weights)}: give the encoder "
                "that it was trained on"
            )
        self._model, self._weights, self._normalises = model, weights, normalises
        self.dim = model.config.hidden_size

    def stream(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        # A sample is a thousandth of the numbers that are made of it.
        whole, hop = torch.cat([torch.zeros(0), *blocks]), EncodedAudio.HOP
        if not len(whole):
            return

        def heard(first: int, stop: int) -> Tensor:
            # The last step of a window hears a little beyond the steps' own samples.
            return self._heard(whole[first * hop : stop * hop + EncodedAudio.RECEPTIVE_FIELD - hop], stop - first)

        yield from windowed(heard, frame_count(len(whole), SAMPLE_RATE, self.rate), WINDOW, OVERLAP)

    @torch.no_grad()
    def _heard(self, sound: Tensor, steps: int) -> Tensor:
        """Steps [steps, dim] of samples [n]; what it does not give of the last ones is its last again."""
        weight = next(self._model.parameters())
        sound = torch.nn.functional.pad(sound, (0, max(EncodedAudio.RECEPTIVE_FIELD - len(sound), 0)))
        if self._normalises:
            sound = (sound - sound.mean()) / (sound.var(unbiased=False) + 1e-7).sqrt()
        states = self._model(sound[None].to(weight), output_hidden_states=True).hidden_states
        mixed = sum(state[0].float().cpu() * share for state, share in zip(states, self._weights, strict=True))
        return mixed[torch.arange(steps).clamp(max=len(mixed) - 1)]


def _load(folder: Path, device: torch.device) -> tuple[Any, bool]:
    """The model of a folder, and whether it wants its sound normalised."""
    if find_spec("transformers") is None:
        raise InputError(
            f"{folder}: a speech encoder in transformers' form needs the package transformers, which is not installed: "
            "python -m pip install transformers, or give its hidden states as .npy"
        )
    from transformers import AutoFeatureExtractor, AutoModel

    try:
        model = AutoModel.from_pretrained(folder, local_files_only=True)
        extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(f"{folder}: found no speech encoder in transformers' form ({reason})") from error
    if not hasattr(model.config, "num_hidden_layers") or getattr(extractor, "sampling_rate", None) != SAMPLE_RATE:
        raise InputError(
            f"{folder}: found a {type(model).__name__}; expected a HuBERT or wav2vec 2.0 that hears 16 kHz"
        )
    return model.float().eval().to(device), bool(getattr(extractor, "do_normalize", False))
