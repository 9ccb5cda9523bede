"""Tools of the battery: a chaos peer, a raw client, a stage with a gateway between them. No tests of the gateway live here."""
