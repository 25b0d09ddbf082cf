"""What every request did and cost."""
