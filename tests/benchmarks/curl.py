"""What a shell script would do: one curl process a batch of 50 files, some of them at once.

python curl.py BASE_URL FOLDER [AT_ONCE]
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

FILES_A_REQUEST = 50


def main(url: str, folder: str, at_once: int) -> None:
    """Send every file of the folder."""
    paths = sorted(entry.path for entry in os.scandir(folder))
    to = f"{url}/api/v1/ingestion/d/data_files/1"

    def send(start: int) -> None:
        forms = [part for path in paths[start : start + FILES_A_REQUEST] for part in ("-F", f"files=@{path}")]
        subprocess.run(["curl", "-sSf", "-o", os.devnull, *forms, to], check=True)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(send, range(0, len(paths), FILES_A_REQUEST)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1)
