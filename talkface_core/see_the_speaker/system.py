"""The system's name in its checkpoints."""

SYSTEM = "see_the_speaker"
