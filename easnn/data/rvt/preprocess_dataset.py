"""Preprocessing of a whole dataset for RVT, in several processes."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from pathlib import Path

from easnn.data.dataset_json import FILE_NAME, read_dataset_info
from easnn.data.prophesee_layout import find_recordings, sensor_of
from easnn.data.rvt.preprocess_recording import Outcome, Task
from easnn.data.rvt.rvt_rules import RvtRules
from easnn.data.rvt.sequence_writer import partial_folder
from easnn.events import native_calls, open_recording
from easnn.utils.errors import OutputError
from easnn.utils.files import is_apple_double, make_directory, refuse_inside, write_json


def plan_tasks(
    raw: Path, out: Path, rules: RvtRules, splits: Sequence[str], *, drop_invalid: bool = False
) -> list[Task]:
    """Find the recordings of some splits and return a task for each.

    Args:
        raw: folder of the raw recordings.
        out: folder of the preprocessed dataset. The folders of the splits are created, and also
            ``dataset.json`` if the raw recordings declare other classes.
        rules: how the recordings are preprocessed.
        splits: names of folders in ``raw``.
        drop_invalid: whether to drop single events outside of the sensor.

    Raises:
        OutputError: if ``out`` is the same folder or lies in it.
        DataError: if recordings are missing, or none can be opened.
        OutputError: if ``out`` cannot be written to, or has other classes.
    """
    refuse_inside(out, raw)
    info = read_dataset_info(raw)
    recordings = [
        (split, files)
        for split in splits
        for files in find_recordings(raw, [split], ignored=rules.kind.ignored, any_format=True)
    ]
    class_names = info.class_names or rules.kind.class_names
    sensor_hw = sensor_of(info, [files for _, files in recordings], open_recording, rules.kind)
    tasks = [
        Task(
            files=files,
            split=split,
            out=out / split / files.name,
            rules=rules,
            class_names=class_names,
            dropped_classes=() if info.class_names else rules.kind.dropped_classes,
            sensor_hw=sensor_hw,
            root=raw,
            drop_invalid=drop_invalid,
        )
        for split, files in recordings
    ]
    make_directory(out)
    if (
        read_dataset_info(out, unfinished=True).class_names or rules.kind.classes_of_histograms
    ) != class_names:
        if not all(is_apple_double(path.name) for path in out.iterdir()):
            raise OutputError(
                f"{out} has other classes than {raw}: {', '.join(class_names)}. Choose another "
                "folder."
            )
        write_json(out / FILE_NAME, {"class_names": list(class_names)})
    for split in splits:
        make_directory(out / split)
    return tasks


def run_tasks(tasks: Sequence[Task], processes: int) -> Generator[tuple[Task, Outcome], None, None]:
    """Run all tasks and yield each with its outcome, in the order in which they end.

    No incomplete sequence is left, however this ends. Several processes are spawned, so a script
    that calls this needs the usual ``if __name__ == "__main__"``.

    Raises:
        OutputError: if a sequence cannot be written, or a process was killed.
    """
    if processes <= 1:
        yield from ((task, task.run()) for task in tasks)
        return
    native_calls.library()  # a warning about it comes from here, not from each process
    others = set(active_children())
    pool = ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_end_with_parent, initargs=(os.getpid(),)
    )
    try:
        futures = {pool.submit(task.run): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BaseException as error:
        for process in set(active_children()) - others:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise OutputError(
                "A process was killed, perhaps because memory ran out. Repeat the command with "
                "fewer --processes: it resumes where it stopped."
            ) from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        for task in tasks:
            shutil.rmtree(partial_folder(task.out), ignore_errors=True)


def _end_with_parent(parent: int) -> None:
    """Ignore the interrupt key, which the parent handles, and exit when the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
