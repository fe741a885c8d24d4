"""Versions of a bundle on a device: installed beside each other, switched by one link. Standard library only."""

KEEP = 3
"""How many versions stay, where nobody says otherwise."""
