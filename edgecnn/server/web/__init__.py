"""The web page: static files and their routes. Must not contact another host."""
