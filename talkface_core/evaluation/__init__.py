"""Metrics, the landmark probe and reports; they know no system."""
