"""What thinks and trains: space, surrogate, advisor, engine process, training."""
