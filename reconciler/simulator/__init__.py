"""The NagaAI account API, embedded: what the documentation states, strictly, with faults on request."""
