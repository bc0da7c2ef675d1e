"""Sound and pictures in and out, and time; all of it streams."""
