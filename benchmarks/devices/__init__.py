"""The device installation: its size and start-up, and its answers on emulated processors."""
