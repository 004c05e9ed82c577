"""Extract, transform and load as a plain Toil workflow: it knows a folder, and nothing of volumes or of Mesos."""

from pathlib import Path

from toil.common import Toil
from toil.job import Job

RESOURCES = {"memory": "64Mi", "cores": 0.5, "disk": "64Mi"}


def extract(job, folder):
    Path(folder, "raw").write_text("".join(f"{number}\n" for number in range(1, 101)))
    return job.addChildJobFn(transform, folder, **RESOURCES).rv()


def transform(job, folder):
    total = sum(int(line) for line in Path(folder, "raw").read_text().split())
    Path(folder, "total").write_text(str(total))
    return job.addChildJobFn(load, folder, **RESOURCES).rv()


def load(job, folder):
    total = Path(folder, "total").read_text()
    Path(folder, "loaded").write_text(total)
    return total


if __name__ == "__main__":
    parser = Job.Runner.getDefaultArgumentParser()
    parser.add_argument("folder")
    options = parser.parse_args()
    with Toil(options) as toil:
        print("result", toil.start(Job.wrapJobFn(extract, options.folder, **RESOURCES)))
