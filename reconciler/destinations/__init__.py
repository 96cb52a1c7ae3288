"""Where secrets go."""
