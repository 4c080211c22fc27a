"""One module is one stack, pure: `build(environment)` returns its template."""
