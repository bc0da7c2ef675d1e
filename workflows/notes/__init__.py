"""What the notes in the workflows say, English and Chinese, by the names of the workflows."""

from __future__ import annotations

from . import dae_talker, faces, ladtalk, landmark_diffusion, personalise, see_the_speaker
from .note import Note

NOTES: dict[str, tuple[Note, Note]] = {
    **dae_talker.NOTES,
    **faces.NOTES,
    **ladtalk.NOTES,
    **landmark_diffusion.NOTES,
    **see_the_speaker.NOTES,
    **personalise.NOTES,
}
