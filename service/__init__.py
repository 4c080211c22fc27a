"""The service: ends mutual TLS itself and says who is calling; all that runs in the container."""
