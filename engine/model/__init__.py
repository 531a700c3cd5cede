"""What is believed of a network: error and complexity by Gaussian processes, and EI."""
