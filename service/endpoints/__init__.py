"""What the service itself answers."""
