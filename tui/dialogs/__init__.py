"""The dialogs of the console."""
