"""Sound and pictures in and out: time, audio, speech features, video; all of it streams."""
