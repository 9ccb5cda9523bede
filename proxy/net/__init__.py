"""What the kernel and the clock offer: socket options, timers, and the watch on sockets that are not read. No HTTP."""
