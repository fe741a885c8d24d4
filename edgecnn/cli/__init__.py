"""The command line. Each command has one file, calls one function, and imports its dependencies in its body."""
