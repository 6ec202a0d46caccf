"""A page of HTML, parsed."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Tags that close, attributes, the text of table cells."""

    VOID = ("meta", "br", "hr", "img", "link", "input")

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.tables, self.text = [], [], [], [], ""
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [v for k, v in attrs.items() if k in ("href", "src", "xlink:href")]
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag == "tr":
            self.row = []
        if tag == "table":
            self.tables.append([])
        if tag in ("td", "th"):
            self.row.append((attrs.get("data-value"), ""))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        if tag not in self.VOID:
            self.handle_starttag(tag, attrs)
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "tr":
            self.tables[-1].append(self.row)

    def handle_data(self, data):
        self.text += data
        if {"td", "th"} & set(self.open):
            value, text = self.row[-1]
            self.row[-1] = value, text + data
