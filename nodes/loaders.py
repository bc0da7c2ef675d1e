"""Loaders: a checkpoint becomes components that travel through the graph under the host's model management."""

from __future__ import annotations

import logging
from typing import Any

import torch
from comfy_api.latest import io

from ..talkface_core.checkpoints import Checkpoint
from ..talkface_core.dae_talker.model import SYSTEM, build_autoencoder, build_speech, latent_space, read_whole
from ..talkface_core.media.features import mel_filters
from . import host
from .sockets import DAE, SPEECH2LATENT, advanced, schema

log = logging.getLogger(__name__)


class LoadDAETalker(io.ComfyNode):
    """A DAE-Talker checkpoint as its two halves: the speech side, and the diffusion autoencoder that draws."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "LoadDAETalker",
            "Load DAE-Talker",
            "DAE-Talker",
            "Loads one speaker: the network that hears speech and the one that draws the face. A small speaker trained "
            "by the pack itself is bundled; your own go into models/talkface.",
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=host.checkpoint_names(SYSTEM),
                    tooltip="Which speaker. Bundled ones come first, then the .safetensors files of models/talkface. "
                    "A checkpoint is one person; train another with: python -m talkface_core train dae-talker.",
                ),
                advanced(
                    io.Combo.Input(
                        "dtype",
                        options=["auto", *host.DTYPES],
                        default="auto",
                        tooltip="Number format of the drawing network. auto: what ComfyUI chooses for the device (its "
                        "log says which; float32 on a CPU). bfloat16 is several times faster on CPUs with AMX or "
                        "AVX-512 BF16 and on recent GPUs, at no visible cost; float32 is the exact one.",
                    )
                ),
            ],
            outputs=[
                SPEECH2LATENT.Output(
                    display_name="speech2latent",
                    tooltip="Hears speech and says, frame by frame, what the face does: latents and head pose. For "
                    "Speech to Latent or Talking Video.",
                ),
                DAE.Output(
                    display_name="dae",
                    tooltip="The diffusion autoencoder, which draws a frame from each latent. For DAE Decode, DAE "
                    "Encode or Talking Video.",
                ),
            ],
            search_aliases=["talking head", "lip sync", "speech to video", "load talking face"],
        )

    @classmethod
    def fingerprint_inputs(cls, checkpoint: str, **_: Any) -> str:
        """A file that was trained anew is loaded anew."""
        return host.fingerprint(host.checkpoint_path(checkpoint, SYSTEM))

    @classmethod
    def execute(cls, checkpoint: str, dtype: str) -> io.NodeOutput:
        whole = read_whole(host.checkpoint_path(checkpoint, SYSTEM))
        mel_filters()  # behind them is a slow import, which belongs to the loading
        space, name = latent_space(whole), whole.path.stem
        speech = host.Component(host.managed(build_speech(whole)), name, space, whole.provenance, whole=True)
        return io.NodeOutput(speech, host.Component(_autoencoder(whole, dtype), name, space, whole.provenance))


def _autoencoder(checkpoint: Checkpoint, dtype: str) -> Any:
    kept, computed = host.pick_dtype(dtype, checkpoint.states["autoencoder"])
    operations = host.layers(kept, computed)
    model = build_autoencoder(checkpoint, operations)
    model.unet.to(kept, memory_format=torch.channels_last)
    patcher = host.managed(model)
    model.compute_on(patcher.load_device, computed)
    chosen = "ComfyUI's choice" if dtype == "auto" else "as asked"
    names = [str(kind).removeprefix("torch.") for kind in (kept, computed)]
    computing = "" if kept == computed else f", computing in {names[1]}"
    log.info(
        "TalkFace: %s draws in %s%s on %s (%s)", checkpoint.path.stem, names[0], computing, patcher.load_device, chosen
    )
    return patcher
