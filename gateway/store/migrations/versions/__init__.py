"""One module per revision; those that were released are not changed any more."""
