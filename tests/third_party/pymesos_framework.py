"""A framework on pymesos: runs the tasks that are given as JSON, and prints how each ended as a line of JSON.

    pymesos_framework.py MASTER TASKS

TASKS is a list of objects with `name`, `command` and `labels`.
"""

import json
import sys
import threading

from addict import Dict
from pymesos import MesosSchedulerDriver, Scheduler

ENDED = {"TASK_FINISHED", "TASK_FAILED", "TASK_ERROR", "TASK_LOST", "TASK_KILLED", "TASK_DROPPED", "TASK_GONE"}


class Runner(Scheduler):
    def __init__(self, tasks):
        self.waiting = list(tasks)
        self.running = {task["name"] for task in tasks}

    def resourceOffers(self, driver, offers):
        for offer in offers:
            tasks = [self.task(offer, self.waiting.pop(0))] if self.waiting else []
            driver.launchTasks(offer.id, tasks, Dict(refuse_seconds=0.2))

    def task(self, offer, wanted):
        task = Dict()
        task.task_id.value = task.name = wanted["name"]
        task.agent_id.value = offer.agent_id.value
        task.resources = [
            Dict(name="cpus", type="SCALAR", scalar=Dict(value=0.1)),
            Dict(name="mem", type="SCALAR", scalar=Dict(value=32)),
        ]
        task.command.value = wanted["command"]
        task.labels.labels = [Dict(key=key, value=value) for key, value in wanted["labels"].items()]
        return task

    def statusUpdate(self, driver, update):
        if update.state in ENDED:
            name = update.task_id.value
            print(json.dumps({"name": name, "state": update.state, "message": update.get("message", "")}), flush=True)
            self.running.discard(name)
            if not self.running:
                driver.stop()


def main(master, tasks):
    framework = Dict(user="root", name="pymesos", hostname="localhost")
    driver = MesosSchedulerDriver(Runner(json.loads(tasks)), framework, master, use_addict=True)
    thread = threading.Thread(target=driver.run)
    thread.start()
    thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
