"""Results kept per commit, machine and engine, and what has changed since."""
