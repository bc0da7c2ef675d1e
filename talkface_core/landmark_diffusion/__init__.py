"""Landmark diffusion: speech to the landmarks of lips and jaw, and a lower face painted where they lie."""
