"""Who lives and who dies: the supervisor, its workers, and children that try a bundle first. No engine but in those."""
