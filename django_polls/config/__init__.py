"""How the site runs: its settings, addresses, and WSGI application."""
