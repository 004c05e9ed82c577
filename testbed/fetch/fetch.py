"""Downloads one file of a PyPI project by its name.

    fetch.py PROJECT FILE DESTINATION

pip cannot save every kind of file a project may have (a "dumb" binary distribution, for one); the project's page
lists them all. The index is pip's own (PIP_INDEX_URL, else the public one). What was downloaded is checked by the
caller, which knows the digest; ends with 2 when the index cannot be reached and with 3 when it has no such file.
"""

import os
import sys
import time

import requests
from pypi_simple import NoSuchProjectError, PyPISimple


class Progress:
    """A line on stderr about every second."""

    def __init__(self, size):
        self.size = size
        self.done = 0
        self.last = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        pass

    def update(self, count):
        self.done += count
        now = time.monotonic()
        if now - self.last >= 1:
            self.last = now
            total = f" of {self.size / 1e6:.1f}" if self.size else ""
            print(f"  {self.done / 1e6:.1f}{total} MB", file=sys.stderr, flush=True)


def main(project, name, destination):
    index = os.environ.get("PIP_INDEX_URL")
    with PyPISimple(index) if index else PyPISimple() as client:
        page = client.get_project_page(project, timeout=60)
        found = [package for package in page.packages if package.filename == name]
        if not found:
            print(f"the project {project} has no file {name}", file=sys.stderr)
            return 3
        client.download_package(found[0], destination, verify=False, keep_on_error=False, progress=Progress, timeout=60)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except NoSuchProjectError as error:
        print(error, file=sys.stderr)
        sys.exit(3)
    except (requests.RequestException, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)
