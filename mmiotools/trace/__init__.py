"""Batches, address map, matching rules and the plug-in registry: what every verb and every plug-in shares."""
