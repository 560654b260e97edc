"""Counts the pages of the PDF on standard input, within the seconds it is given.

A program of its own, so that a file made to be slow or huge costs nobody else.
"""

import io
import resource
import sys

import pypdf

MEMORY = 1024 * 1024 * 1024


def main() -> None:
    seconds = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))  # also when the service that waits for it has died
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    pages = pypdf.PdfReader(io.BytesIO(sys.stdin.buffer.read()), strict=False).pages
    sys.stdout.write(str(len(pages)))


if __name__ == "__main__":
    main()
