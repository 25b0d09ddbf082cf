"""What follows requests and the process, and makes numbers and traces of it."""
