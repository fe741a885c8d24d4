"""From images to a checkpoint folder."""
