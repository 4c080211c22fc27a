"""A package, so that its one account is taken down before other tests bring up theirs."""
