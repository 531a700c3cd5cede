"""What leaves the console to be shared: charts, figures, the page."""
