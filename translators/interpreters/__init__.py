"""Protocol pairs: what a client says in one chat protocol, said to a platform in another, and the answer said back."""
