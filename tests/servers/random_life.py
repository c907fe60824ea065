"""What goes on in a project: runs, instances and fleets come and go, and events say so."""

from __future__ import annotations

import random
from typing import Any

from tests.builders import answers
from tests.servers.fake_server import FakeServer


class Life:
    """Changes a server at random, with the events that dstack emits for it."""

    def __init__(self, server: FakeServer, rng: random.Random) -> None:
        self.server = server
        self.rng = rng
        self.count = 100

    def step(self) -> None:
        actions = [
            self.submit_run,
            self.end_run,
            self.delete_run,
            self.move_job,
            self.change_job,
            self.change_job,
            self.add_instance,
            self.change_instance,
            self.remove_instance,
            self.add_fleet,
            self.remove_fleet,
            self.retry_job,
        ]
        self.rng.choice(actions)()

    def tell(self, message: str, *targets: tuple[str, str, str]) -> None:
        """Records an event, maybe late."""
        self.server.happens(message, *targets, late=self.rng.choice([0, 0, 0, 3, 10]))

    def number(self) -> int:
        self.count += 1
        return self.count

    def a_job(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        runs = [run for run in self.server.runs if run["jobs"] and run["status"] == "running"]
        if not runs:
            return None
        run = self.rng.choice(runs)
        return run, self.rng.choice(run["jobs"])

    def an_instance(self) -> dict[str, Any] | None:
        alive = [each for each in self.server.instances if each["status"] != "terminated"]
        return self.rng.choice(alive) if alive else None

    def submit_run(self) -> None:
        number = self.number()
        jobs = [
            answers.job(
                replica,
                answers.submission(
                    number * 100 + replica, status="submitted", job_provisioning_data=None
                ),
                name=f"r-{number}",
            )
            for replica in range(self.rng.randint(1, 3))
        ]
        submitted = answers.at(self.server.now)
        self.server.runs.append(
            answers.run(number, *jobs, name=f"r-{number}", submitted_at=submitted)
        )
        self.tell("Run submitted", ("run", self.server.runs[-1]["id"], f"r-{number}"))

    def end_run(self) -> None:
        running = [run for run in self.server.runs if run["status"] == "running"]
        if running:
            run = self.rng.choice(running)
            run["status"] = self.rng.choice(["failed", "terminated", "done"])
            for job in run["jobs"]:
                job["job_submissions"][-1]["status"] = "terminated"
                job["job_submissions"][-1]["finished_at"] = answers.at(self.server.now)
            self.tell("Run status changed", ("run", run["id"], run["run_spec"]["run_name"]))

    def delete_run(self) -> None:
        ended = [run for run in self.server.runs if run["status"] != "running"]
        if ended:
            run = self.rng.choice(ended)
            run["deleted"] = True
            self.tell("Run deleted", ("run", run["id"], run["run_spec"]["run_name"]))

    def move_job(self) -> None:
        """Gives a job an instance, as dstack tells it."""
        found, instance = self.a_job(), self.an_instance()
        if found is not None and instance is not None:
            _, job = found
            latest = job["job_submissions"][-1]
            if latest["status"] != "submitted":
                return
            latest["status"] = "provisioning"
            base = answers.submission(0)["job_provisioning_data"]
            latest["job_provisioning_data"] = {**base, "hostname": instance["hostname"]}
            instance["busy_blocks"] += 1
            self.tell(
                "Job assigned to instance",
                ("job", latest["id"], job["job_spec"]["job_name"]),
                ("instance", instance["id"], instance["name"]),
            )

    def change_job(self) -> None:
        found = self.a_job()
        if found is not None:
            _, job = found
            latest = job["job_submissions"][-1]
            latest["status"] = self.rng.choice(["running", "terminating", "failed", "terminated"])
            self.tell("Job status changed", ("job", latest["id"], job["job_spec"]["job_name"]))

    def retry_job(self) -> None:
        found = self.a_job()
        if found is not None:
            _, job = found
            before = len(job["job_submissions"])
            job["job_submissions"].append(
                answers.submission(
                    self.number() * 100 + 50,
                    submission_num=before,
                    status="submitted",
                    job_provisioning_data=None,
                )
            )
            latest = job["job_submissions"][-1]
            self.tell("Job created on retry", ("job", latest["id"], job["job_spec"]["job_name"]))

    def add_instance(self) -> None:
        if self.server.fleets:
            number = self.number()
            fleet = self.rng.choice(self.server.fleets)
            host = f"10.1.0.{number}"
            self.server.instances.append(
                answers.instance(number, fleet, hostname=host, status="provisioning")
            )
            instance = ("instance", self.server.instances[-1]["id"], f"i-{number}")
            self.tell("Instance created on fleet update", instance)

    def change_instance(self) -> None:
        instance = self.an_instance()
        if instance is not None:
            instance["status"] = self.rng.choice(["idle", "busy", "terminating"])
            instance["unreachable"] = self.rng.random() < 0.2
            self.tell("Instance status changed", ("instance", instance["id"], instance["name"]))

    def remove_instance(self) -> None:
        instance = self.an_instance()
        if instance is not None:
            instance["status"] = "terminated"
            self.tell("Instance status changed", ("instance", instance["id"], instance["name"]))

    def add_fleet(self) -> None:
        number = self.number()
        self.server.fleets.append(answers.fleet(number, created_at=answers.at(self.server.now)))
        fleet = self.server.fleets[-1]
        self.tell("Fleet created", ("fleet", fleet["id"], fleet["name"]))

    def remove_fleet(self) -> None:
        if len(self.server.fleets) > 1:
            fleet = self.server.fleets.pop(self.rng.randrange(len(self.server.fleets)))
            for instance in self.server.instances:
                if instance["fleet_id"] == fleet["id"]:
                    instance["status"] = "terminated"
            self.tell("Fleet deleted", ("fleet", fleet["id"], fleet["name"]))
