"""The pure core: state and event in, results out. No I/O, clock, randomness or floats."""
