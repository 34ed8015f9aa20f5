"""Reads `cargo metadata` from standard input and refuses a dependency whose licence we cannot ship under.

A licence expression passes where every AND-part has at least one OR-alternative in ALLOWED.
"""

import json
import re
import sys

ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT",
    # Mozilla's root certificates, as data: may be passed on with the licence's text.
    "CDLA-Permissive-2.0",
    "MIT-0", "Unicode-3.0", "Unlicense", "Zlib",
}


def passes(expression):
    """Whether the SPDX expression can be met with ALLOWED; brackets are resolved from the inside out."""
    while "(" in expression:
        expression = re.sub(r"\(([^()]*)\)", lambda inner: "MIT" if passes(inner[1]) else "refused", expression)
    # Old manifests write MIT/Apache-2.0 for OR.
    expression = expression.replace("/", " OR ")
    alternatives = [[term.strip() for term in part.split(" AND ")] for part in expression.split(" OR ")]
    return any(all(term in ALLOWED for term in terms) for terms in alternatives)


def main():
    packages = [package for package in json.load(sys.stdin)["packages"] if package["source"]]
    refused = [package for package in packages if not passes(package["license"] or "")]
    for package in refused:
        print(f"{package['name']} {package['version']}: licence {package['license']!r} is not one we ship. "
              "Replace the dependency, or allow the licence in scripts/licences.py.", file=sys.stderr)
    print(f"{len(packages)} dependencies, {len(refused)} refused", file=sys.stderr)
    sys.exit(1 if refused or not packages else 0)


main()
