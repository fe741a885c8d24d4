"""Check that a stated preprocessing is the one a network was trained with, by the user's answers, code, or labels."""
