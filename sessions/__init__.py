"""Plain records of a session and where they are kept."""
