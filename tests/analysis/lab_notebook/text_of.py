"""What a reader of a page sees: the text of HTML and of Markdown, line by line."""

from __future__ import annotations

from html.parser import HTMLParser

from markdown_it import MarkdownIt

BREAKING = frozenset({"li", "p", "h1", "h2", "h3", "td", "th", "tr", "div", "ul", "article"})


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[str] = [""]
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden += tag in ("script", "style")
        if tag in BREAKING:
            self.lines.append("")

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in ("script", "style")
        if tag in BREAKING:
            self.lines.append("")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.lines[-1] += data


def read_html(page: str) -> list[str]:
    """Lines without what is between them."""
    reader = _Reader()
    reader.feed(page)
    return [" ".join(line.split()) for line in reader.lines if line.strip()]


def read_markdown(page: str) -> list[str]:
    """Lines as a renderer of CommonMark shows them."""
    return read_html(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(page))
