"""Destinations in worlds of their own, for the suite that holds all of them to the same promises."""
