"""What every way to another service needs: its words made harmless, its failures waited out, its address judged."""
