"""How networks are written."""
