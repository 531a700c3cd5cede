"""What a person or a command can do with sessions."""
