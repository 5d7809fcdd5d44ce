"""Which GPUs a training may use, and how they are dealt to workers."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from hsicfast.errors import InputError
from hsicfast.training.resources import shares, take_share, visible_gpus


@pytest.fixture
def unset(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def command(monkeypatch, tmp_path, unset):
    """Makes an nvidia-smi of one's own the only command there is, in a process without torch."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    def install(script):
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return install


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("0,1", ["0", "1"]),
        (" 3 ", ["3"]),
        ("GPU-1f,MIG-2", ["GPU-1f", "MIG-2"]),
        ("", []),
        ("-1", []),
        ("2,-1,3", ["2"]),
    ],
)
def test_as_cuda_reads_its_variable(monkeypatch, value, names):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == names


def test_torch_is_asked_where_it_is_there_already(monkeypatch, unset):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(device_count=lambda: 3)))
    assert visible_gpus() == ["0", "1", "2"]


def test_the_driver_is_asked_where_torch_is_not(command):
    command("[ $1 = -L ] && printf 'GPU 0: H200 (UUID: GPU-1)\\n  MIG 1g.18gb\\nGPU 1: H200 (UUID: GPU-2)\\n'")
    assert visible_gpus() == ["0", "1"]


def test_without_a_driver_there_is_none(command):
    assert visible_gpus() == []
    command("echo 'could not talk to the driver'; exit 9")
    assert visible_gpus() == []


@pytest.mark.parametrize(("visible", "devices", "found"), [("", 1, 0), ("0,1", 3, 2)])
def test_too_few_gpus_are_refused(monkeypatch, visible, devices, found):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    said = f"`devices <= visible GPUs` must hold, but got devices={devices} and {found} GPUs; lower trainer.devices"
    with pytest.raises(InputError, match=said):
        shares(devices)


def test_a_share_is_free_again_once_its_process_is_killed(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    script = f"""if True:
        import os, time
        from pathlib import Path
        from hsicfast.training.resources import take_share
        kept = take_share(Path({str(tmp_path)!r}), 3, ["a", "b"])
        print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "a\n"
        seen, kept = [], []
        for _ in range(2):
            kept.append(take_share(tmp_path, 3, ["a", "b"]))
            seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
        assert seen == ["b", "a"]  # the third worker shares with the first
        other.kill()
        other.wait()
    with take_share(tmp_path, 3, ["a", "b"]) as file:
        assert file.name.endswith("0")
    for file in kept:
        file.close()
