"""Message formats, read and written without a socket: JSON by spans, multipart, server-sent events, media references."""
