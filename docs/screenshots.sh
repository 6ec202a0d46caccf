#!/usr/bin/env bash
# Makes the pictures of the page `report.md`. Needs an installed blockquant[plot], Chromium and
# pdftoppm (poppler). BLOCKQUANT and PYTHON name other programs than those on the path.
set -euo pipefail
cd "$(dirname "$0")"
blockquant=${BLOCKQUANT:-blockquant}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$blockquant" compare --out "$folder/report" > "$folder/text"
shoot() { # NAME WIDTH HEIGHT [OPTION]
    chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$folder/profile-$1" \
        --window-size="$2,$3" --screenshot="$PWD/_static/report-$1.png" "${@:4}" "file://$folder/report/report.html"
}
shoot light 1100 1500
shoot dark 1100 1500 --blink-settings=preferredColorScheme=0 --force-dark-mode
shoot narrow 500 1000
chromium --headless=new --no-sandbox --disable-gpu --user-data-dir="$folder/profile" --no-pdf-header-footer \
    --print-to-pdf="$folder/report.pdf" "file://$folder/report/report.html"
pdftoppm -r 80 -f 1 -l 1 -singlefile -png "$folder/report.pdf" "_static/report-print"
"${PYTHON:-python3}" - _static/report-*.png << 'EOF'
# Colours by number: half of the size.
import sys

from PIL import Image

for path in sys.argv[1:]:
    Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
EOF
