"""XML as a small tree with line numbers, for files that nobody vouches for.

Document types and entities are refused, so nothing expands and nothing is fetched; size and depth are bounded.
"""

from __future__ import annotations

from xml.parsers import expat

from mmiotools.errors import FormatError
from mmiotools.regmaps.source import Source
from mmiotools.typed import Iterator, Mapping

MAX_NODES = 1 << 20
MAX_DEPTH = 64


class Node:
    """An element: `tag` without its namespace, attributes, the text directly in it, children, line of its start."""

    __slots__ = ("attributes", "children", "line", "tag", "text")

    def __init__(self, tag: str, attributes: Mapping[str, str], line: int) -> None:
        self.tag = tag
        self.attributes = attributes
        self.line = line
        self.text = ""
        self.children: list[Node] = []

    def each(self, *tags: str) -> Iterator[Node]:
        """Children of these tags, in order."""
        return (child for child in self.children if child.tag in tags)

    def child(self, tag: str) -> Node | None:
        """The first child of that tag."""
        return next(self.each(tag), None)

    def words(self, tag: str) -> str | None:
        """The text of the first child of that tag, blanks made one; None where there is no such child."""
        found = self.child(tag)
        return None if found is None else " ".join(found.text.split())

    def get(self, name: str) -> str | None:
        """An attribute."""
        return self.attributes.get(name)


def looks_like_xml(text: str, root: str) -> bool:
    """Whether a text begins as XML whose outermost element is `root`, as far as its first 4 KiB tell."""
    start = text[:4096].lstrip()
    return start.startswith("<") and f"<{root}" in start


def parse_xml(source: Source) -> Node:
    """The outermost element. Raises FormatError with the line."""
    # A text that was decoded is parsed as UTF-8, whatever encoding it says it has.
    parser = expat.ParserCreate("utf-8")
    stack: list[Node] = []
    roots: list[Node] = []
    texts: list[list[str]] = []
    count = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        line = parser.CurrentLineNumber
        if count > MAX_NODES or len(stack) >= MAX_DEPTH:
            what = f"more than {MAX_NODES} elements" if count > MAX_NODES else f"elements nested over {MAX_DEPTH} deep"
            raise source.error(f"{what}, which no register map needs", line)
        node = Node(tag.rpartition(":")[2], attributes, line)
        (stack[-1].children if stack else roots).append(node)
        stack.append(node)
        texts.append([])

    def end(tag: str) -> None:
        stack.pop().text = "".join(texts.pop()).strip()

    def data(text: str) -> None:
        if texts:
            texts[-1].append(text)

    def refuse(*_: object) -> None:
        raise source.error("document types and entities are refused: take the DOCTYPE out", parser.CurrentLineNumber)

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.UnparsedEntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse  # type: ignore[assignment]
    parser.buffer_text = True
    try:
        parser.Parse(source.text.encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        raise FormatError(f"{source.path}:{error.lineno}: is not valid XML: {expat.ErrorString(error.code)}") from error
    return roots[0]
