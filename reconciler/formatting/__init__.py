"""Writes declarations: in canonical form, or with keys added to what somebody typed."""
