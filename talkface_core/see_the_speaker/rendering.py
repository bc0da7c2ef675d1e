"""Portraits in motion: the renderer and the discrete codebook as one, and what is known of one portrait.

Source: See the Speaker (Wang et al., arXiv 2510.26819): the codebook is joined with the rendering network. The joint is
ours: where the renderer carries the portrait's own pixels along these stay; where it paints, the codebook's detail is
taken. A portrait too small for that is brought to size by the codebook before anything moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..faces.align import FaceCrop, crop_faces
from ..pixels import as_unit_tensor, resized_pictures
from .codebook import CodebookDecoder
from .landmark_motion import fitted
from .motion import Motion
from .portrait_crop import crop_places, portrait_crop
from .renderer import HolisticRenderer, Identity
from .stitching import Stitching

_LIVE_PLACES, _LIVE_FEATURES, _LIVE_PIXELS = 33, 8, 48
"""Numbers at the peak: by each keypoint's place in the volume while it is warped, by the decoder's features at its
finest maps, and by a pixel of the picture. Measured."""


@dataclass(frozen=True)
class Portrait:
    """A picture as it will be moved: what the renderer knows of it, and where its head's crop lies in it."""

    identity: Identity
    crop: FaceCrop


class PortraitRenderer(nn.Module):
    """The renderer, the codebook and the stitching (a head that fits its shoulders), where there are such.

    Raises InputError for a codebook that cannot take its pictures.
    """

    def __init__(
        self, net: HolisticRenderer, codebook: CodebookDecoder | None = None, stitching: Stitching | None = None
    ) -> None:
        super().__init__()
        if codebook is not None and codebook.config.input_size > net.config.picture_size:
            raise InputError(
                f"a codebook for faces of {codebook.config.input_size} px behind a renderer of "
                f"{net.config.picture_size}; put parts of one training run together."
            )
        self.net, self.codebook, self.stitching = net, codebook, stitching

    @property
    def keypoints(self) -> int:
        """How many implicit keypoints move a face."""
        return self.net.config.keypoints

    @property
    def size(self) -> int:
        """Side of the pictures that it draws, in pixels."""
        return self.net.config.picture_size if self.codebook is None else self.codebook.config.autoencoder.image_size

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in; pictures come in and go out in float32."""
        return next(self.net.decoder.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the networks compute."""
        return next(self.net.decoder.parameters()).device

    def portrait(self, picture: Tensor, landmarks: Tensor) -> Portrait:
        """What there is to know of a picture [H,W,3], uint8 or 0..1, whose face has landmarks [68,2] in its pixels."""
        height, width = picture.shape[:2]
        crop = portrait_crop(landmarks[None], (height, width), self.size, self.net.config.reach)
        head = as_unit_tensor(crop_faces(picture[None], crop)).permute(0, 3, 1, 2)
        if self.codebook and float(crop.scales()[0]) > self.codebook.config.scale / 1.2:
            # What was enlarged that far holds no more than the codebook's input does.
            head = self.sharper(head)
        head = head.to(self.device)
        if not self.net.config.tied:
            return Portrait(self.net.identity(head), crop)
        known = fitted(self.net.see(head), crop_places(crop.landmarks, self.size))
        return Portrait(self.net.identity(head, known), crop)

    def memory(self, frames: int) -> float:
        """Bytes of activations that so many frames at once need, for a host that makes room beforehand."""
        config, pixels = self.net.config, self.size**2
        places = config.appearance.depth * (config.size // config.appearance.shrink) ** 2
        features = config.warping.features * (config.picture_size // config.decoder.shuffle) ** 2
        exact = 4 * max(_LIVE_PLACES * (config.keypoints + 1) * places, _LIVE_PIXELS * pixels)
        return float(frames * max(exact, self.dtype.itemsize * _LIVE_FEATURES * features))

    @torch.no_grad()
    def draw(self, identity: Identity, motion: Motion, fidelity: float | None = None) -> Tensor:
        """The portrait in each frame of a motion, float32 [T,3,S,S] in 0..1 on the networks' device.

        fidelity: of the codebook, 0 (codes alone) to 1 (as the renderer painted); None: its own. Raises InputError.
        """
        adjust = None if self.stitching is None else self.stitching.stitched
        painted = self.net.painted(identity, motion, adjust)
        pictures = painted.pictures.float().clamp(0, 1)
        fine = resized_pictures(pictures, self.size)
        if self.codebook is None:
            return fine
        sharp = self.sharper(pictures, fidelity)
        if painted.paint is None:
            return sharp
        return torch.lerp(fine, sharp, resized_pictures(painted.paint.float(), self.size))

    def sharper(self, pictures: Tensor, fidelity: float | None = None) -> Tensor:
        """Pictures [B,3,s,s] in 0..1 as the codebook decodes them, float32 [B,3,S,S]; without one, as they are."""
        if self.codebook is None:
            return pictures
        small = resized_pictures(pictures, self.codebook.config.input_size)
        place = next(self.codebook.encoder.parameters()).device
        return self.codebook.enhance(small.to(place), fidelity)
