"""Who is calling: the leaf's fingerprint, the registry of enrolled clients, and the reasons we refuse."""
