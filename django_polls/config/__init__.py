"""How the site runs: its settings, addresses, WSGI application, and gunicorn worker."""
