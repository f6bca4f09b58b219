"""The real servers as processes of this machine, without Docker: for development and tests.

What belongs here: getting their software, starting them on free ports with data of their own, ending and killing them.
What does not: anything that serves production, and what the platform keeps in them (`resources`).

Public modules: `starting` (which servers there are, start them, find them again) and `server` (one that was started).
"""
