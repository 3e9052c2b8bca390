"""Everything that is about running the site rather than about polls."""
