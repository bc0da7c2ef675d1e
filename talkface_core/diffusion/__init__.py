"""What the diffusion systems share: schedules, parameterisations, samplers, guidance, U-Net blocks."""
