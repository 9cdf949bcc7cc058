"""Where every value lives, decided before the run: `plan_memory(graph) -> MemoryPlan`."""

from retrograde.memory.plan import MemoryPlan, Slot, plan_memory

__all__ = ["MemoryPlan", "Slot", "plan_memory"]
