"""One training loop for every recipe, on Accelerate."""
