"""What is asked most often, done on files as they are. It does without numpy, whose import takes longer than all the
rest takes to run. It gives what the other way gives, or says that it cannot.
"""
