"""Do the lips move with the sound? The lip expert of Wav2Lip, its training and the score made of it."""
