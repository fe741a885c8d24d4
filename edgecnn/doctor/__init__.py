"""`edgecnn doctor`: examines the machine and its engines. Must not open a bundle."""
