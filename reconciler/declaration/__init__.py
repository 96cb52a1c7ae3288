"""keys.yaml, read, checked and merged into a `Declaration`."""
