"""The canary tools as the dashboard runs them, and what is to be seen of the machine that they run on."""
