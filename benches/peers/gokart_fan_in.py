"""The fan-in in gokart: gokart_fan_in.py N."""

import sys

import gokart
import luigi


class Leaf(gokart.TaskOnKart[str]):
    n = luigi.IntParameter()

    def run(self):
        self.dump(f"{self.n:0100}")


class Sum(gokart.TaskOnKart[int]):
    count = luigi.IntParameter()

    def requires(self):
        return [Leaf(n=n) for n in range(self.count)]

    def run(self):
        self.dump(sum(len(leaf) for leaf in self.load()))


if __name__ == "__main__":
    gokart.build(Sum(count=int(sys.argv[1]), workspace_directory="."), log_level=50)
