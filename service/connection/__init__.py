"""The walk of a connection: listener, PROXY header, handshake, who is this, what may they, answer, audit."""
