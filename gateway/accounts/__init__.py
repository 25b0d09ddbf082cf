"""Upstream accounts: what they are, which one serves a request, and what trouble does to them."""
