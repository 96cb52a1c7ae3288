"""The NagaAI account API."""
