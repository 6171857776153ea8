"""HTTP: the wire format of the property and profile API. The only asynchronous part, with its writer's loop."""
