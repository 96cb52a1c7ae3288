"""What every way to another service needs: its words redacted, its failures waited out, its address judged."""
