"""Side-by-side measurements of edgecnn and its peers; run each as a module from the root of the repository."""
