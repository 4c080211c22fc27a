"""The stacks: templates, the tool that deploys them, and an embedded AWS to rehearse on."""
