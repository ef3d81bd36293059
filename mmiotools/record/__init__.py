"""record: run a driver against an emulated device with the fault engine on, and give the trace."""
