"""The device part where it is meant to run: what an install takes, and whether emulated processors answer alike."""
