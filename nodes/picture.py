"""The image node: a picture file or a sample of the pack as IMAGE."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..talkface_core.errors import InputError
from ..talkface_core.media.picture import read_picture
from ..talkface_core.pixels import to_unit
from . import host
from .sockets import schema


class LoadImage(io.ComfyNode):
    """A picture file, or a sample of the pack's own, as IMAGE."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "LoadImage",
            "Load Image (TalkFace)",
            "",
            "Loads a picture from ComfyUI's input folder, or a sample of the pack, upright as the camera had it. "
            "ComfyUI's own Load Image may be used instead.",
            inputs=[
                io.Combo.Input(
                    "image",
                    options=host.input_files(["image"]),
                    upload=io.UploadType.image,
                    tooltip="A file of ComfyUI's input folder (upload one with the button), or a sample of the pack, "
                    "marked [sample]. What is transparent becomes white.",
                )
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The picture, for Animate Portrait or Render Motion.")
            ],
            search_aliases=["open image", "picture", "photo"],
        )

    @classmethod
    def validate_inputs(cls, image: str | None) -> bool | str:
        """Names what is wrong with the file's name before anything runs; a linked name (None) is looked at later."""
        try:
            return image is None or bool(host.input_file(image))
        except InputError as error:
            return str(error)

    @classmethod
    def fingerprint_inputs(cls, image: str) -> str:
        """A file that was replaced is read anew."""
        return host.fingerprint(host.input_file(image))

    @classmethod
    def execute(cls, image: str) -> io.NodeOutput:
        pixels = torch.from_numpy(read_picture(host.input_file(image)))
        return io.NodeOutput(host.handed_on(to_unit(pixels)[None]))
