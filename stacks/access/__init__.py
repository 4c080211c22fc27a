"""Who may do what: IAM's evaluation of policies, as far as we write them. Pure, and of no template."""
