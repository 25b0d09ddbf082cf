"""How people prove who they are, and for how long that holds."""
