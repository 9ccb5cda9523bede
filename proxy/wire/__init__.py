"""What bytes mean: heads, targets, fields, framing. Plain code, bytes in and bytes out; no socket, no clock, no task."""
