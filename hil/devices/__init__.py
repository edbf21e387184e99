"""Device profiles, and devices emulated from them."""
