"""The only package that talks to the host: its folders, models under its management, progress, interrupt, memory.

Facts behind the calls hold for ComfyUI 0.3.64 and 0.33.
"""

from .checkpoints import checkpoint_names, checkpoint_path, new_checkpoint, register_models_folder
from .files import SAMPLES, fingerprint, input_file, input_files, output_folder, serve_samples, temp_file
from .memory import STREAM, check_room, gather, gather_sound, handed_on, make_way, room
from .models import DTYPES, Component, device, layers, load, load_all, managed, pick_dtype, workers
from .node_text import say, show_warnings
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
    "make_way",
    "managed",
    "new_checkpoint",
    "output_folder",
    "pick_dtype",
    "register_models_folder",
    "room",
    "say",
    "serve_samples",
    "show_warnings",
    "temp_file",
    "workers",
]
