"""What operators and their tools ask the gateway, on a listener of its own."""
