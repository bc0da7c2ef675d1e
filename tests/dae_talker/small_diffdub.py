"""A small DiffDub as published files, and one whole inference of the public program with our parts."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from talkface_core.dae_talker.autoencoder import DiffusionAutoencoder
from talkface_core.dae_talker.inpainting import Inpainting, inpaint
from talkface_core.dae_talker.lip_region import Margins, lip_picture, mouth_region
from talkface_core.dae_talker.speech2lips import Speech2Lips, lip_latents
from talkface_core.pixels import signed_to_unit, to_signed
from talkface_core.speech.features import EncodedAudio
from tests.dae_talker.diffdub_golden import Layout, footage, formula_states, hidden_states, shared_noise

PUBLISHED = Margins()
"""The public program's margins are in pixels, whatever the size of the picture."""


States = tuple[dict[str, Tensor], dict[str, Tensor]]


def states_of(golden: dict[str, Any]) -> States:
    """Both stages' weights by the formulas."""
    return formula_states(golden["stage1"], golden["stage2"])


def files(folder: Path, states: States, **changed: Tensor | None) -> list[Path]:
    """Both stages as published, with some weights changed, or left out for None."""
    paths = [folder / "stage1_state_dict.ckpt", folder / "stage2_state_dict.ckpt"]
    for state, path in zip(states, paths, strict=True):
        whole = state | {key: value for key, value in changed.items() if key in state}
        torch.save({"state_dict": {key: value for key, value in whole.items() if value is not None}}, path)
    return paths


@torch.no_grad()
def dubbed(
    net: DiffusionAutoencoder, speech: Speech2Lips, layout: Layout, window: int = 2
) -> tuple[Tensor, Tensor, Tensor]:
    """What `diffdub_golden.public_run` computes, in the type that the decoder computes in: the latents of the footage's
    lips [n,D], what is said [T,D] and the painted frames [n,3,S,S] in 0..1."""
    frames, points = footage(layout)
    both = list(zip(frames, points, strict=True))
    lips = np.stack([lip_picture(frame, now, layout.size, PUBLISHED) for frame, now in both])
    latents = net.encode(to_signed(torch.from_numpy(lips).permute(0, 3, 1, 2)))
    references = latents[torch.arange(75) % len(latents)]
    heard = {"encoded_audio": None, "encoded_audio_all_layers": list(hidden_states(layout)[:, None])}
    mixed = EncodedAudio.mixed(heard, speech.layer_weights)
    steps = torch.cat(list(mixed.stream([torch.zeros(320 * layout.steps)])))
    said = torch.cat(list(lip_latents(speech, [steps], references, -(-layout.steps // 2))))
    regions = torch.from_numpy(np.stack([mouth_region(now, layout.size, PUBLISHED) for now in points]))[:, None]
    faces = to_signed(torch.from_numpy(frames).permute(0, 3, 1, 2))
    # The public program goes through the footage for its 75 references, and keeps the last one to be shown.
    shown, x_T = faces[74 % len(faces)][None], shared_noise(layout.size)[0]
    settings, painted = Inpainting(steps=layout.evaluations), []
    for first in range(0, len(faces), window):
        now = slice(first, first + window)
        count = len(faces[now])
        painted.append(inpaint(net, faces[now], regions[now], shown, said[first : first + count], x_T, settings))
    return latents, said, signed_to_unit(torch.cat(painted))
