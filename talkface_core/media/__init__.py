"""Audio and video in and out, and exact time; all of it streams."""
