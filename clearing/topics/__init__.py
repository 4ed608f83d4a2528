"""The list of topics, the difference to a cluster, and what is applied of it; the schemas of what is in them."""
