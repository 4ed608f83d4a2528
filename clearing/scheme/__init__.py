"""A scheme, written down once in TOML: what it declares, what is wrong with it, the commands that make it so."""
