"""The tests' own nodes, a pack of its own for the host: pictures as other nodes leave them in memory."""

from __future__ import annotations

import torch
from torch import Tensor

LAYOUTS = ("plain", "channels first", "every other", "float16", "rgba", "odd", "one")


def laid(image: Tensor, layout: str) -> Tensor:
    """The same pictures [T, H, W, C] or masks [T, H, W] otherwise in memory or number format; "odd" and "one" are less
    of them."""
    if layout == "channels first":  # what decodes latents or scales by Lanczos
        return image.movedim(-1, 1).contiguous().movedim(1, -1)
    if layout == "every other":
        return image.repeat_interleave(2, 2)[:, :, ::2]
    if layout == "float16":  # newer hosts can keep all pictures so
        return image.half()
    if layout == "rgba" and image.ndim == 4:
        return torch.cat([image, torch.full_like(image[..., :1], 0.5)], -1)
    if layout == "odd":
        return image[:, :-1, :-1]
    return image[:1] if layout == "one" else image


class ImageLayout:
    """An IMAGE in a layout."""

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"image": ("IMAGE",), "layout": (LAYOUTS,)}}

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "lay"
    CATEGORY = "tests"

    def lay(self, image: Tensor, layout: str) -> tuple[Tensor]:
        return (laid(image, layout),)


class MaskLayout:
    """A MASK in a layout."""

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {"required": {"mask": ("MASK",), "layout": (LAYOUTS,)}}

    RETURN_TYPES = ("MASK",)
    FUNCTION = "lay"
    CATEGORY = "tests"

    def lay(self, mask: Tensor, layout: str) -> tuple[Tensor]:
        return (laid(mask, layout),)


NODE_CLASS_MAPPINGS = {"TestImageLayout": ImageLayout, "TestMaskLayout": MaskLayout}
