"""`clearing top`: what the console shows, in a terminal, over SSH. It looks and never acts.

Stateless: it reads the same topics as the console (clearing.console.board) and shows the same scene.
"""
