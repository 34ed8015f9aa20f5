"""Writes what goes beside the image: the entry for Raspberry Pi Imager and the list of what is inside (SPDX 2.3). Started by scripts/build-image."""

import argparse
import datetime
import hashlib
import json
import os
import re
import tomllib
import urllib.parse


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def debian(path):
    with open(path, encoding="ascii") as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                name, version, digest, _ = line.split()
                yield {"name": name, "version": version, "sha256": digest,
                       "purl": f"pkg:deb/debian/{urllib.parse.quote(name)}@{urllib.parse.quote(version, safe='')}?arch=arm64"}


def crates(path):
    with open(path, "rb") as file:
        for package in tomllib.load(file)["package"]:
            if package.get("source", "").startswith("registry+"):
                yield {"name": package["name"], "version": package["version"], "sha256": package["checksum"],
                       "purl": f"pkg:cargo/{package['name']}@{package['version']}"}


def spdx_package(part):
    identifier = re.sub(r"[^A-Za-z0-9.-]", "-", f"{part['purl'].split('/')[0][4:]}-{part['name']}-{part['version']}")
    return {"SPDXID": f"SPDXRef-{identifier}", "name": part["name"], "versionInfo": part["version"], "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
            "checksums": [{"algorithm": "SHA256", "checksumValue": part["sha256"]}],
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": part["purl"]}]}


def main():
    parser = argparse.ArgumentParser()
    for name in ("version", "image", "compressed", "binary", "packages", "lock", "imager", "sbom"):
        parser.add_argument(f"--{name}", required=True)
    plan = parser.parse_args()
    built = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    raw = sha256(plan.image)
    entry = {"name": f"twinlease {plan.version}", "description": "DHCP on two Raspberry Pis: flash two cards from this image",
             "url": os.path.basename(plan.compressed), "extract_size": os.path.getsize(plan.image), "extract_sha256": raw,
             "image_download_size": os.path.getsize(plan.compressed), "image_download_sha256": sha256(plan.compressed),
             "release_date": built.strftime("%Y-%m-%d"), "init_format": "none",
             "devices": ["pi3-64bit", "pi4-64bit", "pi5-64bit"]}
    with open(plan.imager, "w", encoding="ascii") as file:
        json.dump({"os_list": [entry]}, file, indent=2)
        file.write("\n")
    parts = [spdx_package(part) for part in [*debian(plan.packages), *crates(plan.lock)]]
    image = {"SPDXID": "SPDXRef-image", "name": "twinlease-rpi", "versionInfo": plan.version, "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
             "checksums": [{"algorithm": "SHA256", "checksumValue": raw}]}
    relations = [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-image"}]
    relations += [{"spdxElementId": "SPDXRef-image", "relationshipType": "CONTAINS", "relatedSpdxElement": part["SPDXID"]} for part in parts]
    document = {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"twinlease-{plan.version}-rpi",
                "documentNamespace": f"https://spdx.org/spdxdocs/twinlease-{plan.version}-{raw[:16]}",
                "creationInfo": {"created": built.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: scripts/build-image"]},
                "packages": [image, *parts], "relationships": relations}
    with open(plan.sbom, "w", encoding="ascii") as file:
        json.dump(document, file, indent=1)
        file.write("\n")


main()
