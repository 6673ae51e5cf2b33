#!/usr/bin/env bash
# taplo 0.9.3, the checker inside the editor extension Even Better TOML, tells one unknown key at every key and value of its table.
#
# Versions: taplo 0.9.3 from PyPI (also seen with @taplo/lsp 0.8.0 from npm, the build that the extension runs), Python 3.11.
#
# `additionalProperties: false` is how schemas forbid unknown keys, and what schemars writes for `deny_unknown_fields`. taplo
# places such a mistake at the table, then at all that is in it: with one typing mistake at its top a file is underlined from
# end to end, though the message names the key. A mistake within a choice between tables (`oneOf`, what schemars writes for an
# enum) is told as the choice fitting none of its variants, at the choice and at all that is in it, and the setting that is wrong
# is not named. If the choice is one table with `properties`, `minProperties` and `maxProperties` of 1 instead, it is.
#
# Seen on 2026-11-27, errors told for one mistake:
#   an unknown key at the top of a file, beside 8 settings: 19
#   a wrong type in a variant, as oneOf: 5, none of which says what is wrong
#   a wrong type in a variant, as one table: 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check taplo==0.9.3
cat > make.py <<'PYTHON'
import json

number = {"type": "number"}
adam, sgd = ({"type": "object", "properties": {"lr": number}, "additionalProperties": False} for _ in range(2))

def schema(name, choice):
    settings = {f"s{it}": number for it in range(9)} | {"optimizer": choice}
    root = {"type": "object", "properties": settings, "additionalProperties": False}
    json.dump(root, open(name, "w"))

def keyed(name, table):
    return {"type": "object", "properties": {name: table}, "required": [name], "additionalProperties": False}

schema("one-of.json", {"oneOf": [keyed("adam", adam), keyed("sgd", sgd)]})
both = {"type": "object", "properties": {"adam": adam, "sgd": sgd}, "additionalProperties": False}
schema("one-table.json", both | {"minProperties": 1, "maxProperties": 1})

settings = "".join(f"s{it} = 1.0\n" for it in range(1, 9))
open("unknown.toml", "w").write("s0 = 1.0\ns00 = 1.0\n" + settings.replace("s8 = 1.0\n", ""))
open("type.toml", "w").write('optimizer = { adam = { lr = "x" } }\n')
PYTHON
python3 make.py
told() { python/bin/taplo lint --no-auto-config --schema "file://$folder/$1" "$2" 2>&1 | grep '^error' || true; }
unknown=$(told one-of.json unknown.toml | wc -l)
one_of=$(told one-of.json type.toml | wc -l)
named=$(told one-of.json type.toml | grep -c 'of type "number"' || true)
one_table=$(told one-table.json type.toml | wc -l)
echo "an unknown key: $unknown errors; in a variant of oneOf: $one_of, $named of which say what is wrong; in one table: $one_table"
[ "$unknown" = 19 ] && [ "$one_of" = 5 ] && [ "$named" = 0 ] && [ "$one_table" = 1 ]
