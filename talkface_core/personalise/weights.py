"""The checkpoints that a person begins with, and the one file that comes of the stages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..acoustic.encoded_ear import feature_space
from ..checkpoints import find_checkpoint, read_checkpoint, read_header
from ..components import build
from ..dae_talker.model import AUTOENCODER, build_speech
from ..errors import InputError
from ..joining import Joint
from ..ladtalk.model import SYSTEM as LADTALK
from ..ladtalk.model import TEXTURE as TEXTURE_NET
from ..ladtalk.model import hearing_of
from ..ladtalk.wav2lip import Wav2LipConfig
from ..speech.vad import GATE
from .settings import Settings
from .stages import FACE, SHARP, SPEECH, TEXTURE, checkpoint_of
from .state import State


def beginnings(settings: Settings) -> dict[str, Path]:
    """The checkpoints to begin with, after a look at whether they are what is needed. Raises InputError."""
    begun = {"talker": find_checkpoint(settings.talker), "texture": find_checkpoint(settings.texture)}
    talker = read_checkpoint(begun["talker"])
    build(talker, AUTOENCODER)
    heard = build_speech(talker).acoustic
    texture = read_checkpoint(begun["texture"], LADTALK)
    build(texture, TEXTURE_NET)
    lips, _ = hearing_of(texture, Wav2LipConfig())
    if heard is not None and lips is not None and feature_space(heard) != feature_space(lips):
        raise InputError(
            f"{talker.path.name} and {texture.path.name} hear different acoustic models, and the file that comes of "
            "them holds one: begin with a talker and a texture that hear the same."
        )
    return begun


def join(state: State, begun: Mapping[str, Path], checkpoint: Path) -> None:
    """One file of the person's stages: DAE-Talker, and LaDTalk with the bundled lips and the person's own SOVQAE."""
    sharp = checkpoint_of(state.folder, SHARP)
    joint = Joint.of(sharp if sharp.is_file() else checkpoint_of(state.folder, SPEECH))
    joint.provenance["stages"] = [
        read_header(checkpoint_of(state.folder, stage)).provenance for stage in (FACE, SPEECH)
    ]
    # Some seconds of one voice do not tell speech from all other sounds: what opens a mouth stays as it was.
    talker, lips = read_checkpoint(begun["talker"]), read_checkpoint(begun["texture"])
    if GATE.name in talker.configs:
        joint.add(talker, GATE.name)
    joint.also(LADTALK)
    for name in lips.configs.keys() - joint.configs.keys():
        joint.add(lips, name)
    joint.add(read_checkpoint(checkpoint_of(state.folder, TEXTURE)), TEXTURE_NET.name)
    licences = dict.fromkeys(str(one.provenance.get("licence", "unknown")) for one in (talker, lips))
    joint.provenance["licence"] = f"the footage is the user's; begun with weights of: {'; '.join(licences)}"
    joint.save(checkpoint)
