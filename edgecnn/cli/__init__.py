"""The command line: options, one call, print. One file a command; each imports what it needs inside its body."""
