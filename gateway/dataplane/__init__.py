"""Where clients connect: admission, attempts until the commit point, and the relay after it."""
