"""The fan-in in luigi: luigi_fan_in.py N."""

import sys

import luigi


class Leaf(luigi.Task):
    n = luigi.IntParameter()

    def output(self):
        return luigi.LocalTarget(f"leaf/{self.n:08}.txt")

    def run(self):
        with self.output().open("w") as file:
            file.write(f"{self.n:0100}")


class Sum(luigi.Task):
    count = luigi.IntParameter()

    def requires(self):
        return [Leaf(n=n) for n in range(self.count)]

    def output(self):
        return luigi.LocalTarget("sum.txt")

    def run(self):
        total = 0
        for leaf in self.input():
            with leaf.open() as file:
                total += len(file.read())
        with self.output().open("w") as file:
            file.write(str(total))


if __name__ == "__main__":
    done = luigi.build([Sum(count=int(sys.argv[1]))], local_scheduler=True, log_level="ERROR")
    sys.exit(0 if done else 1)
