"""Streams of several traces: one after the other, merged by time, and split into parts."""
