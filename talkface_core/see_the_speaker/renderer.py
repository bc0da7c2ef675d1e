"""The renderer: who a picture shows, how a face moves, and the picture of that person in that motion.

Source: See the Speaker (Wang et al., arXiv 2510.26819), the rendering network of its second stage: identity encoder,
motion encoder, motion wrapper and high-resolution decoder. `base` is laid out as LivePortrait (Guo et al. 2024), so
that its public weights fit; `tiny` is the same classes for 128 px, tied to landmarks, with the source's own pixels
carried along.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ..components import Component
from ..config import Config
from ..device import Operations
from ..errors import InputError
from ..media.timebase import FPS, Rate
from .appearance import AppearanceConfig, AppearanceExtractor
from .decoder import Carried, Decoder, DecoderConfig, Painted, resized
from .keypoints import APERTURES, EULER, TIED, apertures, lip_gap, parted, place, rotation_matrix
from .motion import Motion
from .motion_extractor import MotionExtractor, MotionExtractorConfig, Seen
from .volumes import folded_state
from .warping import Warped, WarpingConfig, WarpingNetwork

COMPONENT = "renderer"
Adjust = Callable[[Tensor, Tensor], Tensor]
BATCH = 8
"""Pictures that motion is read from at once."""


@dataclass(frozen=True)
class RendererConfig(Config):
    """size: side of the pictures that it reads; keypoints: K; reach: side of the head's crop by that of the house's
    aligned face (see `portrait_crop`); order: of turning, see `EULER`; turns: expressions turn with the head, and so do
    keypoints' proposals; parting: of tied keypoints, how much further than asked for the lips are driven apart from how
    they lie in the portrait, where a decoder opens mouths too little; the rest are its networks' sizes."""

    size: int = 256
    keypoints: int = 21
    reach: float = 1.65
    order: str = EULER[1]
    turns: bool = False
    parting: float = 1.0
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)
    motion: MotionExtractorConfig = field(default_factory=MotionExtractorConfig)
    warping: WarpingConfig = field(default_factory=WarpingConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)

    def __post_init__(self) -> None:
        self.check_range(32, 1024, "size")
        self.check_range(1, 512, "keypoints")
        self.check_range(1, 4, "reach")
        self.check_range(0.5, 2, "parting")
        if self.parting != 1 and not self.tied:
            raise InputError(f"lips are driven {self.parting:g} times as far apart only by keypoints tied to landmarks")
        if self.order not in EULER:
            raise InputError(f"order of turning {self.order!r} is unknown; choose one of {', '.join(EULER)}")
        if self.size % 32:
            raise InputError(f"{self.size} px; the motion extractor halves pictures five times: give a multiple of 32")
        carry = self.decoder.carry
        if carry and not (self.warping.plane and self.appearance.skip):
            raise InputError("a decoder that carries pixels needs the warping's plane and the appearance's skip")
        if self.decoder.apertures not in (0, len(APERTURES) if self.keypoints == len(TIED) else 0):
            raise InputError(
                f"{self.decoder.apertures} apertures; {len(APERTURES)} of keypoints tied to landmarks, or 0"
            )
        if carry and self.decoder.skip != self.appearance.kept:
            raise InputError(f"the decoder carries {self.decoder.skip} channels of {self.appearance.kept}")

    @classmethod
    def presets(cls) -> dict[str, RendererConfig]:
        """ "tiny" (bundled), 128 px; "base", 256 px in and 512 out, as LivePortrait."""
        tiny = cls(
            size=128,
            keypoints=len(TIED),
            reach=1.4,
            order=EULER[0],
            turns=True,
            appearance=AppearanceConfig(16, 1, 64, 32, 1, 1, 1, 2, True),
            motion=MotionExtractorConfig((24, 48, 96, 128), (1, 2, 3, 1), 0, 24),
            warping=WarpingConfig(
                channels=16,
                blocks=3,
                most=48,
                compress=1,
                mask=3,
                kernel_depth=1,
                shown=False,
                features=16,
                variance=0.006,
                depth_variance=0.3,
                difference=False,
                prior=0.07,
                centred=True,
                plane=True,
                guide=True,
            ),
            decoder=DecoderConfig(1, (24,), 12, True, 2, True, 16, 16, len(APERTURES)),
        )
        return {"tiny": tiny, "base": cls()}

    @property
    def tied(self) -> bool:
        """Whether its keypoints are tied to landmarks, as those of `tiny`."""
        return self.turns and self.keypoints == len(TIED)

    @property
    def picture_size(self) -> int:
        """Side of the pictures that come out; of a decoder that carries pixels those are as large as the source."""
        return self.size // self.appearance.shrink * 2 ** len(self.decoder.up) * self.decoder.shuffle


@dataclass(frozen=True)
class Identity:
    """A portrait as the renderer keeps it, computed once: volume [1,C,D,h,w], what the warping is shown of it
    [1,c,D,h,w], finer maps or None, the picture [1,3,S',S'] in 0..1, canonical keypoints [1,K,3] and its own motion
    (one frame)."""

    volume: Tensor
    shown: Tensor
    maps: Tensor | None
    picture: Tensor
    canonical: Tensor
    motion: Motion


class HolisticRenderer(nn.Module):
    """The four networks. `norm=False`: as they infer, without batch norms."""

    def __init__(self, config: RendererConfig | None = None, norm: bool = True, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config or RendererConfig()
        own = self.config
        self.appearance = AppearanceExtractor(own.appearance, norm, operations)
        self.motion_extractor = MotionExtractor(own.motion, own.keypoints, own.size, operations)
        self.warping = WarpingNetwork(own.warping, own.appearance, own.keypoints, norm, operations)
        self.decoder = Decoder(own.decoder, own.warping.features, norm, operations)

    @torch.no_grad()
    def identity(self, picture: Tensor, seen: Seen | None = None) -> Identity:
        """What there is to know of a portrait [1,3,S',S'] in 0..1, cut by `portrait_crop`; S' is the config's size or,
        to carry finer pixels, more. `seen`: where shape and motion are known better than the extractor sees them, say
        of `fitted(net.see(picture), landmarks)` (landmark_motion.py).

        Raises InputError for another shape.
        """
        self._check(picture)
        if len(picture) != 1:
            raise InputError(f"{len(picture)} portraits; an identity is one picture's.")
        small = resized(picture, self.config.size)
        volume, maps = self.appearance(small.to(self.appearance.second.weight))
        seen = self.motion_extractor(small) if seen is None else seen
        expression, rotation, translation, scale = (part.float().cpu() for part in _parts(seen))
        motion = Motion(expression, rotation, translation, scale, FPS)
        return Identity(volume, self.warping.motion.shown(volume), maps, picture, seen.canonical, motion)

    @torch.no_grad()
    def see(self, pictures: Tensor) -> Seen:
        """What the extractor sees in pictures [B,3,S',S'], as `identity` takes it. Raises InputError."""
        self._check(pictures)
        return self.motion_extractor(resized(pictures, self.config.size))

    @torch.no_grad()
    def motion(self, frames: Tensor, fps: Rate = FPS) -> Motion:
        """The motion of frames [T,3,S',S'] in 0..1, cut by one `portrait_crop`. Raises InputError for another shape."""
        self._check(frames)
        read = [self.motion_extractor(resized(part, self.config.size)) for part in frames.split(BATCH)]
        parts = ([_parts(seen)[n].float().cpu() for seen in read] for n in range(4))
        expression, rotation, translation, scale = (torch.cat(part) for part in parts)
        return Motion(expression, rotation, translation, scale, fps)

    @torch.no_grad()
    def render(self, identity: Identity, motion: Motion, adjust: Adjust | None = None) -> Tensor:
        """The person in every frame of a motion: pictures [T,3,S'',S''] in 0..1 on the renderer's device, float32.

        What a decoder carries pixels into is as large as the identity's picture, else `picture_size`. The caller cuts a
        long motion into parts. `adjust`: changes driven keypoints, given the source's (say `Stitching.stitched`).
        Raises InputError for a motion of other keypoints.
        """
        return self.painted(identity, motion, adjust).pictures.float().clamp(0, 1)

    @torch.no_grad()
    def painted(self, identity: Identity, motion: Motion, adjust: Adjust | None = None) -> Painted:
        """`render`, with what was carried and where the decoder painted."""
        like = identity.canonical
        if motion.keypoints != self.config.keypoints:
            raise InputError(f"motion of {motion.keypoints} keypoints; this renderer has {self.config.keypoints}.")
        return self.moved(identity, self._on(identity.motion, like), self._on(motion, like), adjust)

    def moved(self, identity: Identity, own: Seen, driven: Seen, adjust: Adjust | None = None) -> Painted:
        """`painted` with a gradient to the motion: of B frames' `driven`, and the portrait's `own` of one or of B.

        An identity may be that of B portraits, a frame of each.
        """
        driven, count = self._further(driven, own), len(driven.expression)
        source = [part.expand(count, *part.shape[1:]) for part in self.pose(identity.canonical, own)]
        points, matrix, scale = self.pose(identity.canonical.expand(count, -1, -1), driven)
        driving = (points if adjust is None else adjust(source[0], points), matrix, scale)
        return self.paint(identity, source, driving)[0]

    def pose(self, canonical: Tensor, seen: Seen) -> tuple[Tensor, Tensor, Tensor]:
        """Keypoints [B,K,3] of canonical ones in motion, their rotation matrices [B,3,3] and scales [B,1]."""
        matrix = rotation_matrix(seen.rotation, self.config.order)
        points = place(canonical, seen.expression, matrix, seen.translation, seen.scale, self.config.turns)
        return points, matrix, seen.scale

    def paint(
        self, identity: Identity, source: tuple[Tensor, ...] | list[Tensor], driven: tuple[Tensor, ...] | list[Tensor]
    ) -> tuple[Painted, Warped]:
        """The driven pictures, of keypoints, matrices and scales as `pose` gives them."""
        turn = None
        if self.config.turns:
            turn = (source[2] / driven[2])[:, :, None] * (driven[1].mT @ source[1])
        warped = self.warping(identity.volume, identity.shown, source[0], driven[0], turn)
        carried = None
        if identity.maps is not None and warped.plane is not None:
            open_ = None
            if self.config.decoder.apertures:
                side = identity.maps.shape[-1]
                open_ = (apertures(source[0], side), apertures(driven[0], side))
            carried = Carried(identity.picture, identity.maps, warped.plane, open_)
        return self.decoder(warped.features, carried), warped

    def _on(self, motion: Motion, like: Tensor) -> Seen:
        parts = (motion.expression, motion.rotation, motion.translation, motion.scale)
        return Seen(like, *(part.to(like) for part in parts))

    def _further(self, driven: Seen, own: Seen) -> Seen:
        """Driven motion whose lips part `parting` times as far from how they lie in the portrait, and never cross."""
        if self.config.parting == 1:
            return driven
        asked = lip_gap(driven.expression)
        by = (self.config.parting - 1) * (asked - lip_gap(own.expression))
        return replace(driven, expression=parted(driven.expression, by.maximum(-asked.clamp(min=0))))

    def _check(self, pictures: Tensor) -> None:
        side = pictures.shape[-1]
        if pictures.ndim != 4 or pictures.shape[1:] != (3, side, side) or side < self.config.size:
            raise InputError(
                f"pictures of shape {list(pictures.shape)}; this renderer reads squares of {self.config.size} px or "
                "more: [B, 3, S, S]."
            )


def _parts(seen: Seen) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return seen.expression, seen.rotation, seen.translation, seen.scale


def inference_copy(net: HolisticRenderer, operations: Operations = nn) -> HolisticRenderer:
    """The same function with its batch norms folded, made of `operations`' layers, in evaluation mode."""
    with torch.device("meta"):
        copy = HolisticRenderer(net.config, norm=False, operations=operations)
    copy.load_state_dict(folded_state(net, copy), assign=True)
    return copy.eval().requires_grad_(False)


RENDERER = Component(
    COMPONENT,
    RendererConfig,
    lambda config, layers: HolisticRenderer(config, operations=layers),
    half=True,
    exact=("motion_extractor",),
    for_inference=inference_copy,
)
"""Keypoints stay exact: in half precision they would lie up to a pixel off, and tremble."""
