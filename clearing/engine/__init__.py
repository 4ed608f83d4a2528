"""The engine's shell around the pure core: own, fence, recover, step, commit (DESIGN.md §2)."""
