"""record: run a driver against an emulated device with the fault engine on, and give the trace."""

from __future__ import annotations

from mmiotools.record.plan import Plan, make_plan
from mmiotools.record.recorder import record_to, trace_header

__all__ = ["Plan", "make_plan", "record_to", "trace_header"]
