#!/usr/bin/env python3
"""Hours of learning from files under everything that goes wrong, on Linux, as root.

    cargo build --release --example learn
    docs/trust/soak.py target/release/examples/learn --minutes 120

One run is left alone and says what the others must come to. Then run after run of the same options
is disturbed every minute or so, at random: killed, interrupted, paused, without space on the disk
for its checkpoints, with files of its data overwritten, replaced or cut, with the clock of the
system set back. A run that ends early must say why, and goes on from its newest checkpoint. Each
must come to the dictionary of the one that was left alone, bit by bit, and to no more memory or open
files than it. The first thing that is otherwise ends the script with exit status 1.

Needs Python 3.9; root, for a small disk that can be full; libfaketime, for the clock (on Debian
`apt-get install libfaketime`), without which the clock stays as it is, and the log says so.
"""

import argparse
import collections
import glob
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROWS = ROOT / "data" / "minilm_l3_8192_f16.safetensors"
# More files than `open_shards` keeps open: those beyond 64 are opened for each read.
FILES = 273
# Numbers of a row.
DIM = 384
CHECKPOINT_SECONDS = 60
# Between two checkpoints there may be a step, a save, and other work of the machine.
SLACK_SECONDS = 20
# A checkpoint has 1.6 MB; two stay, and a third is being written.
DISK_BYTES = 24 << 20
OPTIONS = [
    "--atoms", "512", "--sparsity", "8", "--mean", "--held-out", "0.05", "--minibatch", "2000",
    "--evaluate-every", "100", "--threads", "1", "--no-codes", "--json", "--resume",
    "--checkpoint-every", f"{CHECKPOINT_SECONDS}s",
]  # fmt: skip


class Wrong(Exception):
    """Something is not as it must be."""


def expect(holds, what):
    if not holds:
        raise Wrong(what)


def write_shards(folder):
    """The shipped embeddings as `.npy` files of consecutive rows."""
    with open(ROWS, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        (tensor,) = [value for name, value in header.items() if name != "__metadata__"]
        samples, dim = tensor["shape"]
        found = (tensor["dtype"], dim)
        expect(found == ("F16", DIM), f"{ROWS} is of {found}, expected ('F16', {DIM})")
        begin, end = tensor["data_offsets"]
        file.seek(8 + length + begin)
        data = file.read(end - begin)
    folder.mkdir()
    for i in range(FILES):
        first, last = i * samples // FILES, (i + 1) * samples // FILES
        text = f"{{'descr': '<f2', 'fortran_order': False, 'shape': ({last - first}, {dim}), }}"
        text += " " * (-(len(text) + 11) % 64) + "\n"
        head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()
        rows = data[2 * dim * first : 2 * dim * last]
        (folder / f"rows-{i:03}.npy").write_bytes(head + rows)


def other_rows(path):
    """The bytes of a file like this one, with its rows in the opposite order."""
    content = path.read_bytes()
    start = 10 + struct.unpack("<H", content[8:10])[0]
    row = 2 * DIM
    rows = [content[i : i + row] for i in range(start, len(content), row)]
    return content[:start] + b"".join(reversed(rows))


class Clock:
    """The clock of the system as a program sees it, by libfaketime."""

    def __init__(self, folder):
        found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
        self.library = found[0] if found else None
        self.file = folder / "clock"
        self.days = 0
        self.set(0)

    def set(self, days):
        self.days = days
        new = self.file.with_suffix(".new")
        new.write_text(f"{days:+d}d\n")
        new.rename(self.file)

    def environment(self):
        if not self.library:
            return {}
        # Nobody can set back the monotonic clock, nor does the clock change what files say.
        return {
            "LD_PRELOAD": self.library,
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


class Disk:
    """A small disk that others can fill up."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        size = ["-o", f"size={DISK_BYTES}"]
        subprocess.run(["mount", "-t", "tmpfs", *size, "tmpfs", str(folder)], check=True)
        self.filler = folder / "filler"

    def fill(self):
        with open(self.filler, "wb", buffering=0) as file:
            try:
                while file.write(b"\0" * 4096):
                    pass
            except OSError:
                pass

    def free(self):
        self.filler.unlink()

    def close(self):
        subprocess.run(["umount", str(self.folder)], check=False)


class Run:
    """The program, running."""

    def __init__(self, program, data, out, epochs, clock, log):
        command = [program, "--data", str(data), *OPTIONS, "--epochs", str(epochs)]
        self.out = out
        self.log = open(log, "w+")
        self.process = subprocess.Popen(
            [*command, "--out", str(out)],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **clock.environment()},
        )
        self.began = time.monotonic()
        # When it went on after a pause, and how long that was.
        self.pauses = []
        # Bytes, every fifth of a second, and the most files that were open.
        self.memory = []
        self.files = 0

    def watch(self, seconds):
        """Waits so long, or until the program has ended; whether it has."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            try:
                process = f"/proc/{self.process.pid}"
                with open(f"{process}/status") as status:
                    lines = [line.split() for line in status if line.startswith("RssAnon")]
                self.memory += [int(line[1]) * 1024 for line in lines]
                self.files = max(self.files, len(os.listdir(f"{process}/fd")))
            except OSError:
                pass  # It has just ended.
            time.sleep(0.2)
        return self.process.poll() is not None

    def said(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text()

    def is_completed(self):
        return self.process.poll() == 0 and '"stop":"completed"' in self.said()

    def fails(self, seconds, text):
        """It ends within this time, not well, and says this."""
        expect(self.watch(seconds), f"goes on after {seconds} s, expected that it ends: {text}")
        said = self.said()
        code = self.process.returncode
        expect(code == 1, f"exit status {code}, expected 1: {said[-500:]}")
        expect(text in said, f"says {said[-500:]!r}, expected {text!r} in it")

    def checkpoints(self):
        return sorted(self.out.glob("checkpoints/checkpoint-*.safetensors"))

    def newest(self):
        """The step of the newest checkpoint, and the seconds since it or the start of the program."""
        step, seconds = 0, time.monotonic() - self.began
        for newest in self.checkpoints()[-1:]:
            step = int(newest.stem.split("-")[1])
            seconds = min(seconds, time.time() - newest.stat().st_mtime)
        return step, seconds

    def paused(self, seconds):
        """How much of the last `seconds` it was paused for."""
        since = time.monotonic() - seconds
        return sum(length for end, length in self.pauses if end > since)


class Soak:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.random = random.Random(options.seed)
        self.clock = Clock(folder)
        self.data = folder / "data"
        self.disk = Disk(folder / "disk")
        self.began = time.monotonic()
        self.counts = collections.Counter()
        self.lost = self.memory = self.files = 0
        self.running = None

    def tell(self, text):
        seconds = int(time.monotonic() - self.began)
        print(f"{seconds // 60:4d}:{seconds % 60:02d}  {text}", flush=True)

    def start(self, out):
        log = self.folder / "said.txt"
        options = self.options
        self.running = Run(options.program, self.data, out, options.epochs, self.clock, log)
        return self.running

    def finished(self, run):
        """What a run that has come to its end has learned."""
        expect(run.process.returncode == 0, f"the run failed: {run.said()[-500:]}")
        result = json.loads(run.said().splitlines()[-1])
        expect(result["stop"] == "completed", f"the run ended by {result['stop']}")
        return hashlib.sha256((run.out / "dictionary.safetensors").read_bytes()).hexdigest(), result

    def left_alone(self):
        run = self.start(self.folder / "alone")
        while not run.watch(60):
            pass
        self.hash, result = self.finished(run)
        self.memory_alone, self.files_alone = max(run.memory), run.files
        # The last tenth has the measures and pictures that come after learning.
        size = max(len(run.memory) // 10, 1)
        tenths = [max(run.memory[i : i + size]) for i in range(0, 10 * size, size)]
        self.tell(
            f"left alone: {result['steps']} steps, FVU {result['fvu']:.6f}, sha256 {self.hash[:16]}, "
            f"{run.files} open files"
        )
        self.tell(f"memory by tenths, MB: {' '.join(f'{tenth / 1e6:.1f}' for tenth in tenths)}")
        # What is kept for every step or epoch takes no megabyte; the allocator's own may.
        expect(tenths[8] - tenths[2] < 3e6, "memory grows")

    # What goes wrong. Each returns what to say, once the program has ended or goes on.

    def killed(self, run):
        run.process.kill()
        run.process.wait()
        step, age = run.newest()
        age -= run.paused(age)
        self.lost = max(self.lost, age)
        expect(
            age < CHECKPOINT_SECONDS + SLACK_SECONDS,
            f"ran {age:.0f} s without a checkpoint, expected one every {CHECKPOINT_SECONDS} s",
        )
        return f"killed, {age:.0f} s of learning after step {step} lost"

    def interrupted(self, run):
        run.process.send_signal(signal.SIGINT)
        expect(run.watch(30), "goes on for 30 s after Ctrl-C")
        if run.process.returncode == -signal.SIGINT:
            return "interrupted before it listened"
        step, age = run.newest()
        stop = json.loads(run.said().splitlines()[-1])["stop"]
        expect(stop == "token", f"ended by {stop}, expected by a token")
        expect(age < 30, f"the newest checkpoint is {age:.0f} s old, expected one at the end")
        return f"interrupted, with a checkpoint of step {step}"

    def paused(self, run):
        seconds = self.random.randrange(5, 25)
        run.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        run.process.send_signal(signal.SIGCONT)
        run.pauses.append((time.monotonic(), seconds))
        return f"paused for {seconds} s"

    def disk_full(self, run):
        before = {path: path.read_bytes() for path in run.checkpoints()}
        step, _ = run.newest()
        self.disk.fill()
        try:
            run.fails(CHECKPOINT_SECONDS + SLACK_SECONDS, "No space left on device")
        finally:
            self.disk.free()
        expect(step == run.newest()[0], "there is another checkpoint, though the disk was full")
        for path, content in before.items():
            expect(path.read_bytes() == content, f"{path.name} is not what it was")
        return f"disk full: ended, with the checkpoint of step {step} as it was"

    def disk_full_for_a_while(self, run):
        _, age = run.newest()
        self.disk.fill()
        seconds = self.random.randrange(2, 10)
        # Not at the time of a checkpoint, where it is the case above.
        if age + seconds > CHECKPOINT_SECONDS - 5:
            seconds = 0
        ended = run.watch(seconds)
        self.disk.free()
        expect(not ended, f"ended with the disk full between checkpoints: {run.said()[-500:]}")
        return f"disk full for {seconds} s, and free before a checkpoint"

    def damaged(self, run, index, damage, text):
        """Files stay damaged until the program says so; then they are as before."""
        path = self.data / f"rows-{index:03}.npy"
        content = path.read_bytes()
        damage(path, content)
        try:
            run.fails(60, text)
        finally:
            new = path.with_name("new")
            new.write_bytes(content)
            new.rename(path)
        expect(path.name in run.said(), f"does not name {path.name}: {run.said()[-500:]}")
        return f"at step {run.newest()[0]} or later: {run.said().splitlines()[-1].split('/')[-1]}"

    def overwritten(self, run):
        def damage(path, _):
            other = other_rows(path)
            with open(path, "r+b") as file:
                file.write(other)

        return self.damaged(run, self.random.randrange(FILES), damage, "changed since it was opened")

    def replaced(self, run):
        def damage(path, _):
            new = path.with_name("new")
            new.write_bytes(other_rows(path))
            new.rename(path)

        # The others are open, so that the program reads on in those that were there.
        index = self.random.randrange(64, FILES)
        return self.damaged(run, index, damage, "changed since it was opened")

    def cut(self, run):
        def damage(path, content):
            os.truncate(path, self.random.randrange(len(content)))

        return self.damaged(run, self.random.randrange(FILES), damage, "truncated")

    def all_replaced(self, run):
        """Other data of the same shape are refused when the run is to go on."""
        run.process.kill()
        run.process.wait()
        kept = self.folder / "kept"
        self.data.rename(kept)
        self.data.mkdir()
        for path in sorted(kept.iterdir()):
            (self.data / path.name).write_bytes(other_rows(path))
        again = self.start(run.out)
        again.fails(60, "data.fingerprint")
        shutil.rmtree(self.data)
        kept.rename(self.data)
        return "killed, and refused to go on with all files replaced"

    def clock_set_back(self, run):
        days = self.random.randrange(1, 4000)
        self.clock.set(self.clock.days - days if self.clock.days > -4000 else 0)
        return f"clock set to {self.clock.days:+d} days"

    def disturb(self, run):
        kinds = [
            self.killed, self.killed, self.killed, self.interrupted, self.paused, self.disk_full,
            self.disk_full_for_a_while, self.overwritten, self.replaced, self.cut,
        ]  # fmt: skip
        if run.checkpoints():
            # Without one, the program would begin anew.
            kinds.append(self.all_replaced)
        if self.clock.library:
            kinds += [self.clock_set_back, self.clock_set_back]
        # Those that have happened least come first, so that a short soak has met all.
        least = min(self.counts[kind.__name__] for kind in kinds)
        rare = [kind for kind in kinds if self.counts[kind.__name__] == least]
        kind = self.random.choice(rare if self.random.random() < 0.5 else kinds)
        try:
            what = kind(run)
        except Wrong:
            # Whatever was to happen may have come after all was done.
            if not run.is_completed():
                raise
            return
        self.counts[kind.__name__] += 1
        self.tell(what)

    def round(self, number):
        """A run from its first step to its last, whatever happens."""
        out = self.disk.folder / "out"
        run = self.start(out)
        starts = 1
        while True:
            # A second disturbance may come within the start of the program.
            ended = run.watch(self.random.choice([0.05, 1, 10, 30, 60, 90]) * self.random.random())
            if not ended and self.minutes_left() > 0:
                self.disturb(run)
                ended = run.process.poll() is not None
            elif not ended:
                continue
            self.memory = max([self.memory, *run.memory])
            self.files = max(self.files, run.files)
            if run.is_completed():
                break
            if ended:
                expect(self.minutes_left() > -60, "does not come to an end")
                run = self.start(out)
                starts += 1
        found, result = self.finished(run)
        expect(found == self.hash, f"sha256 {found}, expected {self.hash}: other bits")
        left = sorted(path.name for path in out.rglob("*") if path.name.endswith(".tmp"))
        self.tell(
            f"run {number}: the same bits after {starts} starts, from step "
            f"{result['resumed_from']} at last; temporary files of killed saves: {len(left)}"
        )
        shutil.rmtree(out)

    def minutes_left(self):
        return self.options.minutes - (time.monotonic() - self.began) / 60

    def soak(self):
        write_shards(self.data)
        if not self.clock.library:
            self.tell("libfaketime is not installed: the clock is not set back")
        self.left_alone()
        runs = 0
        while self.minutes_left() > 0:
            runs += 1
            self.round(runs)
        self.tell(f"{runs} runs, all to the same bits")
        for kind, count in sorted(self.counts.items()):
            self.tell(f"    {kind.replace('_', ' ')}: {count}")
        self.tell(f"work lost by a kill: that of {self.lost:.0f} s at most")
        self.tell(
            f"memory: {self.memory / 1e6:.1f} MB at most, left alone {self.memory_alone / 1e6:.1f}; "
            f"open files: {self.files}, left alone {self.files_alone}"
        )
        expect(self.memory < self.memory_alone + 8e6, "memory grows with disturbances")
        expect(self.files <= self.files_alone + 2, "files stay open")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--epochs", type=int, default=1500, help="of each run (ten minutes)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    # What is running and mounted goes with the script.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(options, pathlib.Path(folder))
        try:
            soak.soak()
        except Wrong as wrong:
            soak.tell(f"WRONG: {wrong}")
            return 1
        finally:
            if soak.running:
                soak.running.process.kill()
                soak.running.process.wait()
            soak.disk.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
