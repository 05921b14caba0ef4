"""Runs of a grid in processes of one thread each, side by side.

Launchers were considered: Hydra and Ray Tune bring a configuration system of their own, and submitit starts everything
at once on a single machine. What is left to do is a loop over processes, below.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from typing import NamedTuple

from msvi.errors import InputError
from msvi.evaluation.evaluate import evaluate
from msvi.evaluation.text import format_table
from msvi.report.results import format_number, sweep_figure
from msvi.sweep.grid import Run, finished_result
from msvi.training.loop import train
from msvi.training.workdir import Workdir


class _Job(NamedTuple):
    process: subprocess.Popen
    began: float
    output: int  # where its output begins in the log
    core: int | None


def run_here(runs: list[Run], number: int) -> None:
    """Trains and evaluates one run in this process, unless it is finished.

    Raises:
      InputError: there is no such run, or the one that it starts from is not finished.
    """
    if number >= len(runs):
        raise InputError(f"`--task` must be below the {len(runs)} points of the grid, got {number}; choose another.")
    run = runs[number]
    if finished_result(run):
        print(f"{run.workdir} is finished already.")
        return
    if run.previous is not None and not finished_result(runs[run.previous]):
        before = runs[run.previous].workdir
        raise InputError(f"{run.workdir} starts from {before}, which is not finished; run task {run.previous} first.")
    train(run.config, run.workdir)
    print(format_table(evaluate(run.workdir, run.results_dir).result))


def execute(runs: list[Run], commands: list[list[str]], workers: int) -> list[int]:
    """Runs the command of each run that is not finished, `workers` side by side; the numbers of those that failed.

    One line is printed when a run starts and ends. A run whose predecessor failed is not started and counts as failed.
    """
    waiting = [number for number, run in enumerate(runs) if not finished_result(run)]
    print(f"{len(runs)} runs, {len(runs) - len(waiting)} of them finished already, {workers} side by side", flush=True)
    # A core for each worker, unless some stay free: two small sweeps would meet on the first ones.
    usable = usable_cores()
    pinned = hasattr(os, "sched_setaffinity") and workers == len(usable)
    free: list[int | None] = [*usable] if pinned else [None] * workers
    running: dict[int, _Job] = {}
    failed: list[int] = []
    try:
        while waiting or running:
            for number in list(waiting):
                run = runs[number]
                if run.previous in failed:
                    waiting.remove(number)
                    failed.append(number)
                    print(f"{run.workdir}: not started, since {runs[run.previous].workdir} failed", flush=True)
                elif free and run.previous not in (*waiting, *running):
                    waiting.remove(number)
                    running[number] = _start(run, commands[number], free.pop(0))
            for number, job in list(running.items()):
                if job.process.poll() is not None:
                    del running[number]
                    free.append(job.core)
                    if not _end(runs[number], job):
                        failed.append(number)
            time.sleep(0.1)
    finally:  # after an interrupt
        _stop(list(running.values()))
    return sorted(failed)


def task_commands(command: list[str], number: int) -> list[list[str]]:
    """Of `python -m` and such a command one for each task, without `--dry_run`."""
    arguments = [text for text in command if not re.match("--?(no)?dry_run", text)]
    return [[sys.executable, "-m", *arguments, f"--task={task}"] for task in range(number)]


def command_lines(runs: list[Run], commands: list[list[str]]) -> list[str]:
    """Shell lines that may run side by side, one for each run that is not finished; staged ones are joined by `&&`."""
    prefix = ["env", *(f"{name}={value}" for name, value in single_threaded().items())]
    lines: dict[int, str] = {}
    for number in sorted(range(len(runs)), key=lambda number: runs[number].config.model.micro_dim):
        if not finished_result(runs[number]):
            line, previous = shlex.join(prefix + commands[number]), runs[number].previous
            before = None if previous is None else lines.pop(previous, None)
            lines[number] = f"{before} && {line}" if before else line
    return list(lines.values())


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def single_threaded() -> dict[str, str]:
    """Environment variables that keep XLA to one thread: runs side by side use the cores best."""
    options = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    return {"XLA_FLAGS": options.strip(), "NPROC": "1", "OMP_NUM_THREADS": "1"}


def draw(runs: list[Run], root: str) -> list[str]:
    """Figures of error against micro_dim, one for each variant with two or more values of it; returns the paths."""
    paths = []
    for variant in dict.fromkeys(run.variant for run in runs):
        results = [result for run in runs if run.variant == variant and (result := finished_result(run))]
        if len({result["micro_dim"] for result in results}) > 1:
            name = f"sweep_{results[0]['case']}_{variant}".rstrip("_")
            paths.append(os.path.join(root, f"{name}.png"))
            sweep_figure(results).savefig(paths[-1], dpi=120)
    return paths


def _start(run: Run, command: list[str], core: int | None) -> _Job:
    with open(f"{run.workdir}.log", "ab") as log:
        output = log.tell()
        process = subprocess.Popen(
            command, env=os.environ | single_threaded(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    print(f"{run.workdir}: started, output in {run.workdir}.log", flush=True)
    return _Job(process, time.monotonic(), output, core)


def _end(run: Run, job: _Job) -> bool:
    """Says how a run ended; whether it succeeded."""
    seconds, result = time.monotonic() - job.began, finished_result(run)
    if job.process.returncode == 0 and result:
        median = format_number(result["test"]["nrmse"]["median"])
        print(f"{run.workdir}: finished after {seconds:.0f} s, NRMSE median {median}", flush=True)
        return True
    last = "it left no result of this configuration"
    if job.process.returncode:
        with open(f"{run.workdir}.log", "rb") as log:
            log.seek(job.output)
            lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        # JAX's tracebacks end with a note that is the same for all.
        errors = [line for line in lines if re.match(r"[\w.]*([Ee]rror|Exception)\b", line)]
        last = (errors or lines or ["no output"])[-1]
    print(f"{run.workdir}: failed after {seconds:.0f} s, see {run.workdir}.log: {last}", flush=True)
    return False


def _stop(jobs: list[_Job]) -> None:
    for job in jobs:
        job.process.terminate()
    for job in jobs:
        try:
            job.process.wait(timeout=10)
        except subprocess.TimeoutExpired:  # deep in a computation; checkpoints are whole all the same
            job.process.kill()


def check_folders(runs: list[Run]) -> None:
    """Refuses a sweep of which some run could not start, before any does."""
    for run in runs:
        try:
            if not finished_result(run):
                Workdir(os.path.abspath(run.workdir)).check(run.config)
        except InputError as error:
            raise InputError(f"{run.workdir}: {error}") from None
