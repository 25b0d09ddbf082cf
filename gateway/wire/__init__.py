"""Anthropic's HTTP contract: errors, headers, and the little that is read of a request."""
