"""Load tests: seeded workloads against the real services, measured stage by stage, reported only when proved."""
