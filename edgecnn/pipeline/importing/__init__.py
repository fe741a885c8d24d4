"""Read weights from other tools. Must not train or export."""
