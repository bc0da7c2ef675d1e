"""TalkFace as a ComfyUI node pack: registers its nodes and its web folder with the host, and does nothing else."""

from importlib.util import find_spec

# Tools that look at this folder without a ComfyUI around it, such as pytest, import this file too.
if find_spec("comfy_api"):
    from .nodes import comfy_entrypoint

    __all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]

WEB_DIRECTORY = "./web"
