"""Makes cascades: a fast and an accurate graph with a threshold. It never changes a graph."""
