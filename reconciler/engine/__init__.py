"""The accounts of a declaration: opened, read and applied at the same time, what goes wrong with one kept apart."""
