"""Recipes, losses and batches of See the Speaker, in the order of its paper."""
