"""Faces in pictures: detection, tracking, head pose, alignment and pasting. Knows no system."""
