"""Whether each board of the image finds its card, its network, its watchdog and its light with the modules that are packed: what the emulator,
which is a Pi 3B, cannot show. Started by scripts/build-image: KERNEL-MODULES PACKED-MODULES KERNEL DEVICE-TREE…

A driver waits, for ever, until all that its device is fed by has a driver as well: regulators, pins, clocks, interrupts, buses. So the device
tree of each board is followed from those devices to all of these. What matches none is an error that names the module that would.
"""

import fnmatch
import functools
import os
import re
import struct
import sys

# What a board cannot do without, by `compatible`. A Pi 3 has its Ethernet behind USB.
NEEDED = {
    "card": ("brcm,bcm2835-sdhost", "brcm,bcm2711-emmc2", "brcm,bcm2712-sdhci"),
    "network": ("brcm,bcm2835-usb", "brcm,bcm2711-genet-v5", "raspberrypi,rp1-gem"),
    "watchdog": ("brcm,bcm2835-pm-wdt",),
    "light": ("gpio-leds",),
}
# Properties that name other nodes, and by which property of those their arguments are counted.
SUPPLIERS = {
    "clocks": "#clock-cells",
    "dmas": "#dma-cells",
    "interrupts-extended": "#interrupt-cells",
    "mboxes": "#mbox-cells",
    "msi-parent": "#msi-cells",
    "phys": "#phy-cells",
    "power-domains": "#power-domain-cells",
    "resets": "#reset-cells",
    "gpio": "#gpio-cells",
    "gpios": "#gpio-cells",
    "-gpio": "#gpio-cells",
    "-gpios": "#gpio-cells",
    "-supply": None,
    "pinctrl-0": None,
    "interrupt-parent": None,
    "mmc-pwrseq": None,
    "phy-handle": None,
}


class Node:
    def __init__(self, name, parent):
        self.name, self.parent, self.children, self.properties = name, parent, [], {}

    def path(self):
        return f"{self.parent.path()}/{self.name}" if self.parent else ""

    def all(self):
        yield self
        for child in self.children:
            yield from child.all()

    def words(self, name):
        return [word.decode() for word in self.properties.get(name, b"").split(b"\0") if word]

    def cells(self, name):
        content = self.properties.get(name, b"")
        return list(struct.unpack(f">{len(content) // 4}I", content[: len(content) // 4 * 4]))

    def is_enabled(self):
        return self.words("status") in ([], ["okay"], ["ok"])


def read_tree(path):
    """The form is that of the Devicetree Specification 0.4, chapter 5."""
    content = open(path, "rb").read()
    at, strings = struct.unpack(">2I", content[8:16])
    node = None
    while True:
        (token,) = struct.unpack(">I", content[at : at + 4])
        at += 4
        if token == 1:
            end = content.index(b"\0", at)
            child = Node(content[at:end].decode(), node)
            if node:
                node.children.append(child)
            node, at = child, (end + 4) & ~3
        elif token == 2:
            if not node.parent:
                return node
            node = node.parent
        elif token == 3:
            length, name = struct.unpack(">2I", content[at : at + 8])
            at += 8
            name = content[strings + name : content.index(b"\0", strings + name)].decode()
            node.properties[name] = content[at : at + length]
            at = (at + length + 3) & ~3


def suppliers(node, by_handle):
    for name in node.properties:
        key = next((key for key in SUPPLIERS if name == key or key.startswith("-") and name.endswith(key)), None)
        if key is None:
            continue
        cells = node.cells(name)
        while cells:
            supplier = by_handle.get(cells.pop(0))
            if supplier is None:
                break
            yield supplier
            if SUPPLIERS[key]:
                del cells[: (supplier.cells(SUPPLIERS[key]) or [0])[0]]
    if "interrupts" in node.properties:
        above = node.parent
        while above and "interrupt-parent" not in above.properties:
            above = above.parent
        if above:
            yield by_handle[above.cells("interrupt-parent")[0]]


def required(root, wanted):
    """The enabled nodes of these kinds, and all that they are fed by or stand in."""
    by_handle = {node.cells("phandle")[0]: node for node in root.all() if "phandle" in node.properties}
    waiting = [node for node in root.all() if node.is_enabled() and set(node.words("compatible")) & set(wanted)]
    found = []
    while waiting:
        node = waiting.pop()
        if node in found:
            continue
        found.append(node)
        # Two that feed each other are no condition for either: the kernel breaks such a circle.
        waiting += [other for other in suppliers(node, by_handle) if node not in suppliers(other, by_handle)]
        # A group of pins or a regulator has its driver above it.
        if node.parent and node.parent.parent:
            waiting.append(node.parent)
    return [node for node in found if node.words("compatible")]


def aliases(folder):
    """What a module takes: a `compatible`, which is written of:N<name>T<type>C<compatible>, and once more with C* behind; or a device on PCI,
    by its two numbers."""
    with open(os.path.join(folder, "modules.alias"), encoding="ascii") as lines:
        words = [line.split() for line in lines]
    trees = [(word[1].split("T*C", 1)[1].removesuffix("C*"), word[2]) for word in words if word[1].startswith("of:N*T*C")]
    return trees + [(word[1].split("sv")[0], word[2]) for word in words if word[1].startswith("pci:v")]


def built_in(folder):
    """The same of the modules that are a part of the kernel."""
    content = open(os.path.join(folder, "modules.builtin.modinfo"), "rb").read().decode("ascii", "replace")
    entries = [entry.partition(".alias=of:N*T*C")[2] for entry in content.split("\0")]
    return [entry.removesuffix("C*") for entry in entries if entry]


def main():
    full, packed, kernel, *trees = sys.argv[1:]
    image = open(kernel, "rb").read()
    offered, inside = aliases(full), built_in(full)
    names = [os.path.basename(name).split(".ko")[0].replace("-", "_") for _, _, names in os.walk(packed) for name in names]

    @functools.cache
    def takers(compatible):
        if device := re.fullmatch("pci([0-9a-f]+),([0-9a-f]+)", compatible):
            compatible = "pci:v{:08X}d{:08X}".format(*(int(number, 16) for number in device.groups()))
        return [module for pattern, module in offered if fnmatch.fnmatchcase(compatible, pattern)]

    def is_taken(compatible):
        if any(fnmatch.fnmatchcase(compatible, pattern) for pattern in inside):
            return True
        if modules := takers(compatible):
            return any(module in names for module in modules)
        # Buses, clocks and interrupt controllers have no alias: the word stands in a table of the kernel.
        return b"\0" + compatible.encode() + b"\0" in image

    wrong = []
    for path in trees:
        root = read_tree(path)
        board = os.path.basename(path)
        for what, wanted in NEEDED.items():
            nodes = required(root, wanted)
            if not nodes and what in ("card", "watchdog"):
                wrong.append(f"{board} has no {what}")
            for node in nodes:
                if not any(map(is_taken, node.words("compatible"))):
                    modules = {module for word in node.words("compatible") for module in takers(word)}
                    wrong.append(f"{board}: its {what} needs {node.path()} ({', '.join(node.words('compatible'))}), for which there is "
                                 + (f"the module {' or '.join(sorted(modules))}" if modules else "no driver in this kernel"))
    if wrong:
        sys.exit("\n".join(["boards.py: look at image/modules.txt:", *wrong]))


main()
