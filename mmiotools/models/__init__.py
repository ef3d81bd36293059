"""Register models learned from recordings: what a card's registers do, as far as accesses show it."""
