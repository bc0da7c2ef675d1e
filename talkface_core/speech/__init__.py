"""Speech input of networks: log-mel, encoders' features, windows, voice activity, augmentation, Conformer."""
