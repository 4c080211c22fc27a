"""What operators do to what is deployed: certificates, enrollment, the test client."""
