"""Who sends requests: gateway keys and what they allow."""
