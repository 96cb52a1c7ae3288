"""GitHub as far as it is asked: its published description, and a stateful fake that is held to it."""
