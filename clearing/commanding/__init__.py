"""What people tell the engine, and what it answers: below the command line and the console, which both do it.

Where a command belongs (places), how it is published and waited for (asking), what is proposed (published, R33).
"""
