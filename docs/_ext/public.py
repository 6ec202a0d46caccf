"""The API pages: what `blockquant.__all__` names, so that no list is kept by hand."""

import inspect
import re
from types import ModuleType

from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

import blockquant


def _kind(value):
    if isinstance(value, ModuleType):
        return "modules"
    return "classes" if inspect.isclass(value) else "functions"


def _named(kind):
    pairs = ((name, getattr(blockquant, name)) for name in blockquant.__all__)
    return {name: value for name, value in pairs if _kind(value) == kind}


class Public(SphinxDirective):
    """`public:: classes` documents the public classes, `functions` and `modules` likewise."""

    required_arguments = 1

    def run(self):
        lines = []
        for name, value in _named(self.arguments[0]).items():
            where = f"blockquant.{name}"
            if isinstance(value, ModuleType):
                lines += [f".. automodule:: {where}", "   :members:", ""]
            elif inspect.isclass(value):
                lines += [name, "-" * len(name), ""]
                lines += [f".. autoclass:: {where}", "   :members:", "   :undoc-members:"]
                lines += ["   :special-members: __getitem__"]
                own = [base for base in value.__bases__ if base.__module__.startswith("blockquant")]
                # What a base that has no entry of its own gives is listed with the class.
                hidden = any(base.__name__ not in blockquant.__all__ for base in own)
                lines += ["   :inherited-members:"] * hidden
                bases = value.__bases__ != (object,) and not hidden
                lines += ["   :show-inheritance:"] * bases + [""]
            else:
                lines += [name, "-" * len(name), "", f".. autofunction:: {where}", ""]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


class Overview(SphinxDirective):
    """`public-overview::` lists all public names with the first line of each docstring."""

    def run(self):
        lines = []
        roles = {"classes": "class", "functions": "func", "modules": "mod"}
        for kind, role in roles.items():
            lines += [f".. rubric:: {kind.capitalize()}", "", ".. list-table::", "   :widths: 1 3"]
            lines += ["   :class: overview", ""]
            for name, value in _named(kind).items():
                first = (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ")
                lines += [f"   * - :{role}:`~blockquant.{name}`", f"     - {first}"]
            lines.append("")
        return self.parse_text_to_nodes("\n".join(lines))


def _resolve(app, env, node, content):
    """A reference from a submodule to a name that the package exports."""
    if node.get("refdomain") != "py" or node["reftarget"].startswith("blockquant."):
        return None
    if node["reftarget"].partition(".")[0] not in blockquant.__all__:
        return None
    target = f"blockquant.{node['reftarget']}"
    python = env.get_domain("py")
    found = python.objects.get(target)
    if found is None:
        return None
    return make_refnode(
        app.builder, node["refdoc"], found.docname, found.node_id, content, node["reftarget"]
    )


def _plain_bars(app, what, name, obj, options, lines):
    """|x| is an absolute value, not a substitution."""
    for place, line in enumerate(lines):
        if line.lstrip().startswith((">>>", "...")):
            continue
        parts = line.split("``")
        parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
        lines[place] = "``".join(parts)


def _dashes(app, pagename, templatename, context, doctree):
    """The dash after a parameter's name, which smart quotes would make of options too."""
    if "body" in context:
        context["body"] = re.sub(r"(</(?:em|strong|a)>\)?) -- ", r"\1 – ", context["body"])


def setup(app):
    app.connect("autodoc-process-docstring", _plain_bars)
    app.connect("html-page-context", _dashes)
    app.add_directive("public", Public)
    app.add_directive("public-overview", Overview)
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
