"""Training: losses, steps, the loop, checkpoints."""
