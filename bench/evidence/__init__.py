"""From (method, data) to the named arrays that metrics ask for; ``gathering`` is the way in."""
