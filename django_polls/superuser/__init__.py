"""One administrator whose credentials are kept in a Secret, kept up to date by a command that can run often."""
