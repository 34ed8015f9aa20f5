"""Copies the named kernel modules and all that they need, unpacked, into the image. Started by scripts/build-image: SOURCE LIST TARGET."""

import lzma
import os
import sys


def stem(path):
    return os.path.basename(path).split(".ko")[0].replace("-", "_")


def main():
    source, list_path, target = sys.argv[1:]
    needs = {}
    with open(os.path.join(source, "modules.dep"), encoding="ascii") as lines:
        for line in lines:
            path, _, others = line.partition(":")
            needs[path] = others.split()
    by_name = {stem(path): path for path in needs}
    with open(os.path.join(source, "modules.builtin"), encoding="ascii") as lines:
        builtin = {stem(line.strip()) for line in lines}
    wanted = set()

    def add(path):
        if path not in wanted:
            wanted.add(path)
            for other in needs[path]:
                add(other)

    with open(list_path, encoding="ascii") as lines:
        names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    absent = [name for name in names if name.replace("-", "_") not in by_name and name.replace("-", "_") not in builtin]
    if absent:
        sys.exit(f"modules.py: this kernel has no {', '.join(absent)}; look at image/modules.txt")
    # What depmod says of those is for a modprobe that reads it; busybox's does not.
    with open(os.path.join(source, "modules.softdep"), encoding="ascii") as lines:
        for line in lines:
            words = line.replace("-", "_").split()
            if words[:1] != ["softdep"] or words[1] not in (order := [name.replace("-", "_") for name in names]):
                continue
            before = words[words.index("pre:") + 1 :] if "pre:" in words else []
            before = before[: before.index("post:")] if "post:" in before else before
            late = [word for word in before if word not in builtin and word not in order[: order.index(words[1])]]
            if late:
                sys.exit(f"modules.py: {words[1]} asks for {', '.join(late)} before it; write that into image/modules.txt, above")
    for name in names:
        path = by_name.get(name.replace("-", "_"))
        if path:
            add(path)
    for path in sorted(wanted):
        content = open(os.path.join(source, path), "rb").read()
        if path.endswith(".xz"):
            content, path = lzma.decompress(content), path[: -len(".xz")]
        place = os.path.join(target, path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(content)
    for name in ("modules.builtin", "modules.order", "modules.builtin.modinfo"):
        content = open(os.path.join(source, name), "rb").read().replace(b".ko.xz", b".ko")
        with open(os.path.join(target, name), "wb") as file:
            file.write(content)


main()
