"""Writes declarations: keys.yaml as it was typed, in canonical form, with keys added."""
