"""DAE-Talker (Du et al., ACM MM 2023, arXiv 2303.17550): speech to latents of a diffusion autoencoder to frames."""
