"""What is measured: a topic a module, with a function of the workbench that prints its tables."""
