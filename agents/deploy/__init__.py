"""What stands between a policy and a site: the guard."""
