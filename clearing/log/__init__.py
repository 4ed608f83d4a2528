"""The columnar clearing log and the records the engine writes: bytes to core types and back. Stored formats."""
