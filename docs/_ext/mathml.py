"""Formulas as MathML, made when the site is built, and a subset of a mathematical font for them.

Every current browser shows MathML, so a page needs no script for its formulas. Without a
mathematical font it looks poor, so STIX Two Math (from the package `ziamath`) comes with the site.
"""

import logging
import re
from pathlib import Path
from unicodedata import lookup

import ziamath
from docutils import nodes
from fontTools import subset
from latex2mathml.converter import convert
from sphinx.errors import SphinxError

#: Latin, Greek, accents, punctuation, letterlike signs, arrows, operators, brackets, italics.
_RANGES = (
    (0x20, 0x7E),
    (0xA0, 0xFF),
    (0x2C6, 0x2DD),
    (0x300, 0x333),
    (0x391, 0x3F6),
    (0x2010, 0x2044),
    (0x2061, 0x2064),
    (0x2102, 0x2134),
    (0x2190, 0x21D5),
    (0x2200, 0x22EF),
    (0x2308, 0x230B),
    (0x27E8, 0x27E9),
    (0x1D400, 0x1D467),
    (0x1D49C, 0x1D4CF),
    (0x1D538, 0x1D56B),
    (0x1D6A8, 0x1D71B),
)
#: What latex2mathml gives, and what it should be: operators that are not letters, fences that
#: neither stretch nor stand apart, functions without the space of an operator before a bracket.
_REPAIRS = (
    ("<mi>&#x0007E;</mi>", "<mo>&#x223C;</mo>"),
    ("<mi>&#x000B1;</mi>", "<mo>&#x000B1;</mo>"),
    ("<mo>&#x02016;</mo>", '<mo fence="false" stretchy="false">&#x02016;</mo>'),
    ('<mo stretchy="false">&#x0007C;</mo>', '<mo stretchy="false" lspace="0" rspace="0">|</mo>'),
    ("<mo>&#x0002F;</mo>", '<mo lspace="0" rspace="0">&#x0002F;</mo>'),
    ("<mo>max</mo><mo", "<mi>max</mi><mo"),
    ("<mo>min</mo><mo", "<mi>min</mi><mo"),
)


def _script(match):
    """A script letter as the character: browsers know no other `mathvariant` than `normal`."""
    try:
        letter = lookup(f"MATHEMATICAL SCRIPT CAPITAL {match[1]}")
    except KeyError:
        letter = lookup(f"SCRIPT CAPITAL {match[1]}")
    return f"<mi>{letter}</mi>"


def mathml(latex, display):
    """The formula as an element `math`; an error if a command is not understood."""
    text = convert(latex, display=display)
    for wrong, right in _REPAIRS:
        text = text.replace(wrong, right)
    text = re.sub('<mi mathvariant="script">([A-Z])</mi>', _script, text)
    if unknown := re.search(r"\\\w+|\\.|&#x0005C;\w*", text):
        raise SphinxError(f"no MathML for {unknown.group()} in {latex!r}")
    return text


def _inline(self, node):
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def _block(self, node):
    self.body.append(f'<div class="formula">{mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


def _even_radicals(font):
    """Gives every size of √ the width of the least.

    Chromium leaves room for the widest, whichever it takes: a gap behind every root.
    """
    least = font.getBestCmap()[0x221A]
    width, _ = font["hmtx"][least]
    for name in font.getGlyphOrder():
        if name.startswith(f"{least}."):
            advance, bearing = font["hmtx"][name]
            share = width / advance
            glyph = font["glyf"][name]
            glyph.coordinates.scale((share, 1))
            glyph.coordinates.toInt()
            glyph.recalcBounds(font["glyf"])
            font["hmtx"][name] = width, round(share * bearing)


def _hold_punctuation(app, pagename, templatename, context, doctree):
    """A comma or full stop after a formula stays on its line."""
    if "body" in context:
        context["body"] = re.sub(
            r"(<math(?:(?!</math>).)*</math>)([,.;:?)]+)",
            r'<span class="held">\1\2</span>',
            context["body"],
            flags=re.DOTALL,
        )


def _font(app, error):
    if error is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir, "_static", "fonts")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "STIXTwoMath.woff2"
    if not target.exists():
        # All names stay: among them are the copyright and the licence, the SIL Open Font License.
        options = subset.Options(flavor="woff2", name_IDs=["*"], notdef_outline=True)
        options.hinting = False
        options.layout_features = ["ssty", "dtls", "flac"]  # what formulas use
        source = Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf"
        font = subset.load_font(str(source), options)
        tool = subset.Subsetter(options)
        tool.populate(unicodes=[c for first, last in _RANGES for c in range(first, last + 1)])
        tool.subset(font)
        _even_radicals(font)
        subset.save_font(font, str(target), options)


def setup(app):
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # Sphinx shows what is above
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("html-page-context", _hold_punctuation)
    app.connect("build-finished", _font)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
