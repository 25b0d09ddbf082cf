"""The built-in upstream: an HTTP server that answers as the Anthropic API does, and fails on request.

``gateway demo`` embeds it, ``gateway replay`` runs it alone, and the tests put it behind the gateway.
"""
