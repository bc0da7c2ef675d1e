"""Speech as networks hear it: log-mel, encoders, windows, voice activity, sound augmentation, Conformer."""
