"""GitHub as far as secrets are concerned: its published description, and a stateful fake that is held to it."""
