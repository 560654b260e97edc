"""`make lock`: pins all packages with hashes: what every image has (base), one file per image, one for development. They name no registry."""

import subprocess
import sys
import tomllib

from deploy.local.places import ROOT


def main() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    choices: dict[str, list[str]] = {"base": []} | {name: ["--extra", name] for name in extras} | {"dev": ["--all-extras"]}
    for name, chosen in choices.items():
        subprocess.run([sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", *chosen, "--universal", "--python-version", "3.11",
                        "--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate", "--quiet",
                        "--output-file", f"requirements/{name}.txt"], cwd=ROOT, check=True)
    print(f"{len(choices)} files of requirements are pinned")


if __name__ == "__main__":
    main()
