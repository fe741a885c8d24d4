"""The machine: processor, cores, memory, and child processes. Must not import an engine or a bundle."""
