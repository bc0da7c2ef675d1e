"""Training of landmark diffusion: one recipe for each stage of the paper, their batches and losses."""
