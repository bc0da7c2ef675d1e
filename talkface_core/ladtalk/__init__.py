"""LaDTalk: Wav2Lip puts new speech into a video, SOVQAE restores the texture of that face."""
