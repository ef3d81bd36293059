"""What `array`, `contextlib`, `functools`, `collections` and `operator` have as well, as far as a command needs it that
answers within a moment: these import each other and more, which takes longer than to look through a small file. Whoever
checks types sees the real ones.
"""

from __future__ import annotations

import sys

from mmiotools.typed import TYPE_CHECKING, Any, Callable, Iterator, Mapping

if TYPE_CHECKING:
    import operator as operator
    from array import array as array
    from collections import Counter as Counter
    from collections import deque as deque
    from contextlib import contextmanager as contextmanager
    from contextlib import suppress as suppress
    from functools import cache as cache
else:
    try:
        import _operator as operator  # both are built in where this is CPython
        from _collections import deque
    except ImportError:
        import operator as operator
        from collections import deque as deque

    def _array() -> type:
        """That of `array`, which is registered as a sequence as it is loaded. `collections` would be imported for that,
        and take longer, though what is needed is there already.
        """
        known = sys.modules.get("_collections_abc")
        names = ("collections", "collections.abc")
        lent = dict.fromkeys(names, known) if known is not None and sys.modules.keys().isdisjoint(names) else {}
        sys.modules.update(lent)
        try:
            return __import__("array").array
        finally:
            for name in lent:
                del sys.modules[name]

    array = _array()

    #: Answers that `cache` remembers of one function; then it begins anew.
    _REMEMBERED = 1 << 12

    class Counter(dict):
        """How often what was counted: 0 of what was not. Of others it takes no more than their numbers."""

        def __missing__(self, key: object) -> int:
            return 0

        def update(self, other: Mapping[Any, int]) -> None:
            """Add theirs."""
            for key, count in other.items():
                self[key] = self.get(key, 0) + count

    class suppress:
        """A block that ends where one of these is raised, and whoever is behind it does not know."""

        def __init__(self, *kinds: type[BaseException]) -> None:
            self._kinds = kinds

        def __enter__(self) -> None:
            pass

        def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
            return kind is not None and issubclass(kind, self._kinds)

    class _Context:
        """What is before the `yield` of a generator, and what is behind it."""

        def __init__(self, halves: Iterator[Any]) -> None:
            self._halves = halves

        def __enter__(self) -> Any:
            for given in self._halves:
                return given
            raise RuntimeError("nothing was yielded")

        def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
            if error is None:
                for _ in self._halves:
                    raise RuntimeError("more than once was yielded")
                return False
            try:
                self._halves.throw(error)
            except StopIteration as end:
                # It may have been raised in the block, and come back as it is.
                return end is not error
            except BaseException as raised:
                # A generator cannot let a StopIteration out, but wraps it.
                if raised is error or (isinstance(error, StopIteration) and raised.__cause__ is error):
                    error.__traceback__ = trace
                    return False
                raise
            raise RuntimeError("more than once was yielded")

    def contextmanager(function: Callable[..., Iterator[Any]]) -> Callable[..., _Context]:
        """A function that yields once as a context manager."""

        def made(*given: Any, **named: Any) -> _Context:
            return _Context(function(*given, **named))

        made.__doc__, made.__name__, made.__wrapped__ = function.__doc__, function.__name__, function
        return made

    def cache(function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of positional arguments that remembers its answers."""
        known: dict[tuple[Any, ...], Any] = {}

        def cached(*given: Any) -> Any:
            found = known.get(given, known)
            if found is not known:
                return found
            if len(known) >= _REMEMBERED:
                known.clear()
            found = known[given] = function(*given)
            return found

        cached.__doc__, cached.__name__, cached.__wrapped__ = function.__doc__, function.__name__, function
        cached.cache_clear = known.clear
        return cached
