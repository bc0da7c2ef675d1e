"""Dubbing: a film and a sound to the film that says the sound, with any system's mouths."""
