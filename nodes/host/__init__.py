"""The only package that talks to the host: its folders, models under its management, progress, interrupt, memory.

Facts behind the calls hold for ComfyUI 0.3.64 and 0.33.
"""

from .checkpoints import checkpoint_names, checkpoint_path, register_models_folder
from .files import SAMPLES, fingerprint, input_file, input_files, serve_samples, temp_file
from .memory import STREAM, check_room, gather, gather_sound, handed_on, room
from .models import DTYPES, Component, device, layers, load, load_all, managed, pick_dtype, workers
from .node_text import show_warnings
from .progress import Interruptible, Progress, check_interrupt
from .vae import HostVae

__all__ = [
    "DTYPES",
    "SAMPLES",
    "STREAM",
    "Component",
    "HostVae",
    "Interruptible",
    "Progress",
    "check_interrupt",
    "check_room",
    "checkpoint_names",
    "checkpoint_path",
    "device",
    "fingerprint",
    "gather",
    "gather_sound",
    "handed_on",
    "input_file",
    "input_files",
    "layers",
    "load",
    "load_all",
    "managed",
    "pick_dtype",
    "register_models_folder",
    "room",
    "serve_samples",
    "show_warnings",
    "temp_file",
    "workers",
]
