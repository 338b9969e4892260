"""From a request to an agent to the context that each target is sent: gathered, filtered, rendered, explained."""
