"""What an answer cost: the counters of its usage, the prices of its model, and the rules between them."""
