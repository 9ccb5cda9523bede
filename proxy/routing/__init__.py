"""From a request head to a plan: licences, platforms as they are served, routes. No socket, no task."""
