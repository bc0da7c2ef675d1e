"""The reader of sex and age group off portraits, trained on renders: it judges what the portrait generator makes.

It sees rendered people as they are and as the portrait space gives them back, mirrored, in other light and softened, so
that it judges the face and not how a decoder paints. Its own error, on people it never saw, is reported beside every
number that rests on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from talkface_core.diffusion.unet import EncoderConfig, ImageEncoder
from talkface_core.pixels import resized_pictures
from talkface_core.see_the_speaker.portrait_space import PortraitSpace
from talkface_core.see_the_speaker.training.people import People, latents_of

SIZE, BATCH = 64, 48


class AttributeReader(nn.Module):
    """Portraits [B,3,H,H] in -1..1 -> logit of a man [B] and of the three age groups [B,3]."""

    def __init__(self) -> None:
        super().__init__()
        config = EncoderConfig(SIZE, 3, 64, (24, 48, 96), (False,) * 3, blocks=1, patch=4, learned_position=True)
        self.net, self.out = ImageEncoder(config), nn.Linear(64, 4)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        told = self.out(F.silu(self.net(resized_pictures(pictures, SIZE))))
        return told[:, 0], told[:, 1:]


@dataclass(frozen=True)
class Reading:
    """Sex and age group as read [N]."""

    sex: NDArray[np.int64]
    age: NDArray[np.int64]


@torch.no_grad()
def read(reader: AttributeReader, pictures: Tensor) -> Reading:
    """What the reader says of portraits [N,3,H,H] in -1..1."""
    parts = [reader(part) for part in pictures.split(BATCH)]
    sex = torch.cat([male > 0 for male, _ in parts]).long()
    return Reading(sex.numpy(), torch.cat([ages.argmax(1) for _, ages in parts]).numpy())


@torch.no_grad()
def given_back(people: People, space: PortraitSpace) -> Tensor:
    """People as the portrait space gives them back, [N,3,64,64] in -1..1."""
    latents = latents_of(people.pictures, space)[:, 0]
    return torch.cat([resized_pictures(space.decode(part), SIZE) for part in latents.split(16)]).clamp(-1, 1)


def train_reader(people: People, space: PortraitSpace, steps: int, seed: int = 0) -> AttributeReader:
    """A reader that saw the people of training for some steps."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    plain = torch.cat([resized_pictures(people.signed(slice(k, k + 64)), SIZE) for k in range(0, len(people), 64)])
    shown = torch.cat([plain, given_back(people, space)])
    sex, age = (torch.from_numpy(np.tile(values, 2)) for values in (people.sex, people.age))
    reader = AttributeReader().train()
    optimiser = torch.optim.AdamW(reader.parameters(), 1e-3, weight_decay=0.05)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    for _ in range(steps):
        picked = torch.from_numpy(rng.integers(0, len(shown), BATCH))
        male, ages = reader(_varied(shown[picked], rng))
        loss = F.binary_cross_entropy_with_logits(male, sex[picked].float()) + F.cross_entropy(ages, age[picked])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
    return reader.eval().requires_grad_(False)


def _varied(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirrored, in other light, moved a little, softened."""
    count = len(pictures)
    mirrored = torch.from_numpy(rng.random(count) < 0.5)[:, None, None, None]
    x = torch.where(mirrored, pictures.flip(3), pictures)
    light = torch.from_numpy(rng.uniform(0.75, 1.25, (count, 3, 1, 1)).astype(np.float32))
    shift = rng.integers(-3, 4, 2)
    x = ((x + 1) * light - 1).clamp(-1, 1).roll((int(shift[0]), int(shift[1])), (2, 3))
    if rng.random() < 0.5:
        x = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear", align_corners=False)
    return x
