"""Runs all benchmarks of the kernels and writes what they print to benchmarks/results.

python benchmarks/kernels/run_all.py [--device cpu] [--repeats N] [--threads N] [--note TEXT]
"""

import argparse
import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
SCRIPTS = {
    "scan.py": "Selective scan",
    "causal_conv.py": "Causal convolution",
    "ttt_linear.py": "TTT-Linear",
    "ttt_mlp.py": "TTT-MLP",
    "bottleneck.py": "TTT layer at the bottleneck",
    "layers.py": "Training steps",
}


def machine(device: str) -> str:
    packages = []
    for name in ("torch", "triton", "numba", "mamba-ssm", "flash-linear-attention"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            packages.append(f"no {name}")
    chip = _processor() if device == "cpu" else torch.cuda.get_device_name(device)
    return f"{chip}; Python {platform.python_version()}, {', '.join(packages)}."


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def reason(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of what a script complained of; one that was killed says nothing."""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit status {done.returncode}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=0, help="0: what each script thinks best")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--note", default="", help="what else the reader should know")
    options = parser.parse_args()
    common = ["--device", options.device, "--threads", str(options.threads)]
    if options.repeats:
        common += ["--repeats", str(options.repeats)]
    today = date.today().isoformat()
    text = [f"# Kernels on {options.device}", "", f"{today}, {machine(options.device)}"]
    text += [f"Threads: {options.threads}. {options.note}".strip()]
    text += ["`bar` is what was asked for before; it stands beside the first peer."]
    path = HERE.parent / "results" / f"{today}-kernels-{options.device.replace(':', '')}.md"
    failed = 0
    for script, title in SCRIPTS.items():
        command = [sys.executable, str(HERE / script), *common]
        print(" ".join(command), flush=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        shown = done.stdout.strip() or "Nothing was printed."
        text += ["", f"## {title}", "", f"`python benchmarks/kernels/{script} {' '.join(common)}`"]
        text += ["", shown]
        if done.returncode:
            failed += 1
            text += ["", f"It failed: {reason(done)}"]
        path.write_text("\n".join(text) + "\n", encoding="utf-8")  # what there is, is kept
    print(path)
    sys.exit(failed)


if __name__ == "__main__":
    main()
