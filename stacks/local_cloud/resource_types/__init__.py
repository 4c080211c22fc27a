"""One row per resource type: how it is made, changed, read and removed through its service's API."""
