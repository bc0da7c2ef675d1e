"""Prepares data sets from videos: cut, brought to one rate, cropped, filtered, annotated. Knows no system."""
