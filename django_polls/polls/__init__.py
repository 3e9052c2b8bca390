"""Questions that users vote on."""
