"""Device profiles: what a device says on its bus and how it behaves; and devices emulated from them."""
