"""Evaluate Clip: generated frames beside the real ones, as a table in words and a picture.

The work is done in talkface_core/evaluation; its small networks for lips and speech run on the CPU.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io
from numpy.typing import NDArray
from torch import Tensor

from ..talkface_core.evaluation.catalogue import METRICS
from ..talkface_core.evaluation.clip_files import spoken_pauses
from ..talkface_core.evaluation.evaluate import Evaluation, score
from ..talkface_core.evaluation.footage import Pair, held_frames, mono, read_footage
from ..talkface_core.evaluation.kit import bundled_kit
from ..talkface_core.evaluation.plot import HEIGHT, WIDTH, plot
from ..talkface_core.evaluation.registry import Kit
from ..talkface_core.media.source import audio_source
from ..talkface_core.pixels import to_unit
from . import host
from .face_inputs import detector_of
from .footage_rate import HIDDEN, footage_rate, fps_input, video_input
from .sockets import schema


class EvaluateClip(io.ComfyNode):
    """The metrics of `evaluate` for one clip in the graph."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "EvaluateClip",
            "Evaluate Clip",
            "",
            "Measures generated frames beside the real ones: pixels, mouths, lip sync, flicker, sharpness. The real "
            "frames are measured in the same way, and what cannot be measured is named. Nothing is downloaded.",
            inputs=[
                io.Image.Input("images", tooltip="The generated frames, one face among them."),
                io.Image.Input(
                    "real",
                    tooltip="The real frames of the same moments, from the first one on. The shorter one counts.",
                ),
                fps_input("Of both. Measured is at 25."),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="What the generated frames say. Without it lip sync and pauses are left out.",
                ),
                io.Audio.Input(
                    "real_audio",
                    optional=True,
                    tooltip="What the real frames say, where that is something else. Mouths are then not compared.",
                ),
                video_input(),
            ],
            hidden=list(HIDDEN),
            outputs=[
                io.String.Output(
                    display_name="report",
                    tooltip="The table in words, with what was left out and why: connect Preview as Text.",
                ),
                io.Image.Output(
                    display_name="plot",
                    tooltip="Both mouths' opening over the waveform; below, faces generated and real.",
                ),
            ],
            search_aliases=["metrics", "quality", "PSNR", "SSIM", "LMD", "lip sync score", "compare"],
        )

    @classmethod
    def execute(
        cls,
        images: Tensor,
        real: Tensor,
        fps: float,
        audio: dict[str, Any] | None = None,
        real_audio: dict[str, Any] | None = None,
        video: Any = None,
    ) -> io.NodeOutput:
        rate = footage_rate(cls, len(images), fps, video)
        count = min(len(images), len(real))
        films = [held_frames(frames[:count, ..., :3], rate) for frames in (images, real)]
        progress = host.Progress(2 * sum(len(chunk) for chunk in films[0]()) + len(METRICS))
        host.check_room(1, HEIGHT, WIDTH)
        detector = detector_of("bundled")

        def looked(chunk: NDArray[np.uint8]) -> None:
            progress.reach(progress.done + len(chunk), chunk[-1])

        said = None if audio is None else mono(host.Interruptible(audio_source(audio)))
        spoken = said if real_audio is None else mono(host.Interruptible(audio_source(real_audio)))
        made, true = (
            read_footage(name, film, detector, sound, looked)
            for name, film, sound in zip(("images", "real"), films, (said, spoken), strict=True)
        )
        kit = _kit()
        pair = Pair.of("clip", made, true, pauses=spoken_pauses(made, kit.gate))
        clip = score(pair, kit, METRICS, lambda _: progress.reach(progress.done + 1))
        report = Evaluation((clip,), METRICS).report("metric")
        picture = to_unit(torch.from_numpy(plot(clip)))
        progress.reach(progress.total, picture)
        return io.NodeOutput(report.text(), host.handed_on(picture[None]))


@cache
def _kit() -> Kit:
    """The bundled instruments, read once."""
    return bundled_kit()
