"""What the proxy tells its operator: metrics, the admin listener, the access log and the process log.

Nothing here decides anything about an exchange; everything here may be called from the event loop and must never block it.
"""
