"""What the diffusion systems share: schedules, parameterisations, samplers, U-Net blocks."""
