"""`make lock`: pins all packages with hashes, one file per image and one for development. The files name no registry."""

import subprocess
import sys
import tomllib

from deploy.local.places import ROOT


def main() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name in extras:
        chosen = ["--all-extras"] if name == "dev" else ["--extra", name]
        subprocess.run([sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", *chosen, "--universal", "--python-version", "3.11",
                        "--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate", "--quiet",
                        "--output-file", f"requirements/{name}.txt"], cwd=ROOT, check=True)
    print(f"{len(extras)} files of requirements are pinned")


if __name__ == "__main__":
    main()
