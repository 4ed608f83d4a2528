"""The operators' console: a web page over the views, and the only place where people act, with four eyes (R33).

Stateless: what is shown is read from topics, what is done is a command in the log. `clearing console` serves it.
"""
