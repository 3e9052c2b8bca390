"""Questions that people vote on."""
