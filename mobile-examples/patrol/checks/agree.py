#!/usr/bin/env python3
"""What must agree and no compiler looks at.

- libs.versions.toml and the lock file name the same versions;
- compileSdk and the plugin are what the libraries' own metadata demand, and targetSdk is not above compileSdk;
- both languages have the same texts with the same placeholders, and Arabic has its six plural forms;
- every picture that is named exists, and every text is used.

Usage: agree.py APP-FOLDER FOLDER-OF-UNPACKED-LIBRARIES
"""

import re
import sys
import tomllib
import xml.etree.ElementTree as xml
from pathlib import Path

app, unpacked = Path(sys.argv[1]), Path(sys.argv[2])
resources = app / "app/src/main/res"
wrong: list[str] = []


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def lock() -> dict[str, str]:
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    found = {}
    for row in xml.parse(app / "checks/classpath.pom.xml").iterfind("m:dependencies/m:dependency", space):
        group, artifact, number = (row.findtext(f"m:{name}", "", space) for name in ("groupId", "artifactId", "version"))
        found[f"{group}:{artifact}"] = number
    return found


def versions() -> None:
    catalogue = tomllib.loads((app / "gradle/libs.versions.toml").read_text())
    locked = lock()
    for name, library in catalogue["libraries"].items():
        module, number = library["module"], catalogue["versions"][library["version"]["ref"]]
        # Maven needs the artifact of the platform named; Gradle finds it.
        at = next((m for m in (module, module + "-android", module + "-jvm") if m in locked), None)
        if module == "androidx.compose:compose-bom":
            continue
        if at is None:
            wrong.append(f"{name}: {module} is not in the lock file")
        elif locked[at] != number:
            wrong.append(f"{name}: the catalogue has {number}, the lock file {locked[at]}")
    compiler = (app / "checks/compiler.pom.xml").read_text()
    for number in re.findall(r"<artifactId>kotlin-[^<]*</artifactId><version>([^<]*)", compiler):
        if number != catalogue["versions"]["kotlin"]:
            wrong.append(f"the compiler is {number}, the catalogue's Kotlin {catalogue['versions']['kotlin']}")
    sdk, plugin = int(catalogue["versions"]["compileSdk"]), catalogue["versions"]["agp"]
    if int(catalogue["versions"]["targetSdk"]) > sdk:
        wrong.append("targetSdk is above compileSdk")
    asked = list(unpacked.glob("*/META-INF/com/android/build/gradle/aar-metadata.properties"))
    if not asked:
        wrong.append("no library says what it demands")
    for path in asked:
        says = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
        library = path.relative_to(unpacked).parts[0]
        if int(says.get("minCompileSdk", 1)) > sdk:
            wrong.append(f"{library} demands compileSdk {says['minCompileSdk']}")
        if version(says.get("minAndroidGradlePluginVersion", "1")) > version(plugin):
            wrong.append(f"{library} demands plugin {says['minAndroidGradlePluginVersion']}")


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"%(?:\d+\$)?[a-z]", text))


def texts(folder: str) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    root = xml.parse(resources / folder / "strings.xml").getroot()
    plurals = {p.get("name", ""): {i.get("quantity", ""): i.text or "" for i in p} for p in root.iter("plurals")}
    return {s.get("name", ""): s.text or "" for s in root.iter("string")}, plurals


def languages() -> None:
    (english, counted), (arabic, arabic_counted) = texts("values"), texts("values-ar")
    for name in english.keys() ^ arabic.keys() | counted.keys() ^ arabic_counted.keys():
        wrong.append(f"{name} is in one language only")
    for name in english.keys() & arabic.keys():
        if placeholders(english[name]) != placeholders(arabic[name]):
            wrong.append(f"{name}: the placeholders differ")
        if not arabic[name].strip() or not english[name].strip():
            wrong.append(f"{name} is empty")
    for name in counted.keys() & arabic_counted.keys():
        if counted[name].keys() != {"one", "other"}:
            wrong.append(f"{name}: English has one and other")
        if arabic_counted[name].keys() != {"zero", "one", "two", "few", "many", "other"}:
            wrong.append(f"{name}: Arabic has six forms, not {sorted(arabic_counted[name])}")
        said = placeholders(counted[name]["other"])
        for quantity, text in arabic_counted[name].items():
            # "One" and "two" are words of their own; the rest need their number.
            own = quantity in ("zero", "one", "two")
            if placeholders(text) != said and not (own and not placeholders(text)):
                wrong.append(f"{name}, {quantity}: the placeholders differ")
    sources = "".join(path.read_text() for path in (app / "app/src/main").rglob("*") if path.suffix in (".kt", ".xml") and "values" not in str(path))
    for name in english.keys() | counted.keys():
        if not re.search(rf"R\.(string|plurals)\.{name}\b|@string/{name}\b", sources):
            wrong.append(f"{name} is used nowhere")
    for name in set(re.findall(r"R\.drawable\.(\w+)", sources)):
        if not (resources / f"drawable/{name}.xml").exists():
            wrong.append(f"there is no drawable {name}")
    for path in (resources / "drawable").glob("ic_*.xml"):
        if not re.search(rf"R\.drawable\.{path.stem}\b|@drawable/{path.stem}\b", sources + (resources / "mipmap-anydpi-v26/ic_launcher.xml").read_text()):
            wrong.append(f"{path.stem} is drawn nowhere")


versions()
languages()
for sentence in wrong:
    print(f"does not agree: {sentence}")
print(f"versions and languages: {len(wrong)} do not agree" if wrong else "versions and languages agree")
sys.exit(1 if wrong else 0)
