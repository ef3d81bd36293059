"""Names of registers and of their fields, where an access is printed."""

from __future__ import annotations

from mmiotools.trace.accesses import Access, Accesses
from mmiotools.trace.address_space import Region
from mmiotools.typed import TYPE_CHECKING

if TYPE_CHECKING:
    # Only --regs pays for names of registers.
    from mmiotools.trace.names import Found, Names


class Naming:
    """Finds the register of an access of either side, in the maps that the user loaded."""

    def __init__(self, names: Names, *sides: Accesses) -> None:
        self._names = names
        self._regions: dict[str | None, Region] = {}
        for side in sides:
            for region in side.regions:
                self._regions.setdefault(region.name, region)

    def find(self, access: Access) -> Found | None:
        """The register, or None for one without a name."""
        return self._names.find(self._regions.get(access.region), access.offset)

    def register(self, access: Access) -> str | None:
        """Its name."""
        found = self.find(access)
        return None if found is None else found.text

    def changes(self, old: Access, new: Access) -> str:
        """`FIELD old -> new, FIELD old -> new` for the fields that differ; "" if no field that has a name does."""
        found = self.find(old)
        if found is None or old.value is None or new.value is None:
            return ""
        changed = self._names.changed_fields(found.register, old.value, new.value, found.distance, old.width)
        return ", ".join(f"{change.name} {change.old} -> {change.new}" for change in changed)
