"""Dubbing of videos with new speech, with the lip-sync model of any system."""
