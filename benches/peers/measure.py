"""Times the fan-in of N leaves and their sum in other tools, cold and with the sum missing: measure.py SIZE...

Each figure is the time of a whole process. A tool that takes longer than LIMIT seconds is left out of larger sizes.
"""

import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

LIMIT = 240
HERE = pathlib.Path(__file__).parent
BIN = pathlib.Path(sys.executable).parent

NINJA = """rule leaf
  command = printf '%0100d' $n > $out
rule sum
  command = cat $$(dirname $out)/leaf/* | wc -c > $out
"""


def ninja(directory, count):
    lines = [NINJA]
    names = [f"leaf/{n:08}.txt" for n in range(count)]
    lines += [f"build {name}: leaf\n  n = {n}" for n, name in enumerate(names)]
    lines.append("build ./sum.txt: sum | " + " ".join(names))
    (directory / "build.ninja").write_text("\n".join(lines) + "\n")
    return [BIN / "ninja", "--quiet"]


def luigi(_, count):
    return [sys.executable, HERE / "luigi_fan_in.py", str(count)]


def gokart(_, count):
    return [sys.executable, HERE / "gokart_fan_in.py", str(count)]


def timed(command, directory):
    started = time.monotonic()
    subprocess.run(command, cwd=directory, check=True, timeout=LIMIT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.monotonic() - started


def measure(tool, count):
    directory = pathlib.Path(tempfile.mkdtemp())
    try:
        command = tool(directory, count)
        cold = timed(command, directory)
        found = [*directory.glob("sum.txt"), *directory.glob("**/Sum_*.pkl")]
        assert found, "the sum was made"
        for path in found:
            path.unlink()
        return cold, timed(command, directory)
    finally:
        shutil.rmtree(directory)


def main():
    sizes = [int(size) for word in sys.argv[1:] for size in word.split()]
    figures = []
    for tool in (ninja, luigi, gokart):
        version = importlib.metadata.version(tool.__name__)
        for count in sizes:
            try:
                cold, warm = measure(tool, count)
            except subprocess.TimeoutExpired:
                print(f"{tool.__name__} {version}: {count} leaves take more than {LIMIT} s")
                break
            except subprocess.CalledProcessError as error:
                sys.exit(f"{tool.__name__} failed: {error.stderr.decode()[-2000:]}")
            print(f"{tool.__name__} {version}: {count} leaves: cold {cold:.2f} s, sum missing {warm:.2f} s", flush=True)
            figures.append({"tool": tool.__name__, "version": version, "count": count, "cold": cold, "warm": warm})
    pathlib.Path("target/peers.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    main()
