"""What a Django project needs in a container: settings from the environment, health checks, and JSON logs."""
