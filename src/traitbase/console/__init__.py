"""The web console: where people see and steer what the API keeps. Pages made on the server, sent as HTML."""
