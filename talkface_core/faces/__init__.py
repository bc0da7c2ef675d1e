"""Faces in pictures: found, followed, measured, cut out and put back. Knows no system."""
