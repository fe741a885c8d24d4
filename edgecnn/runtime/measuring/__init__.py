"""How fast a bundle is here: candidates in processes of their own, in turns, until they are steady; with intervals."""
