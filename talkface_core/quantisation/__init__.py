"""Vector quantisers and codebooks. Knows no system."""
