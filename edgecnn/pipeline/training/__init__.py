"""Train a network and write a checkpoint."""
