"""Data sets on disk as training data: clips, their aligned faces, and the sound that goes with them."""
