"""From the bucket to a TLS context: the server's certificate, fetched to memory and checked before anything listens."""
