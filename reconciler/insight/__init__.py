"""What the account's use comes to: whose it is, how long the balance lasts, what has changed. Pure."""
