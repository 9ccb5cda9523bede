"""What a compiled route does with messages: requests made, answers read, streams mapped, tasks followed. Pure: no socket."""
