from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def run_python(code: str, *first_on_path: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([*map(str, first_on_path), str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )


def fake_packages(folder: Path, *, torch_libs: list[str], audio_lib: bytes | None) -> Path:
    """Packages named torch and torchaudio that hold only what the guard looks at."""
    for name in ("torch", "torchaudio"):
        (folder / name / "lib").mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise ImportError('the guard must not import this')")
    for name in torch_libs:
        (folder / "torch" / "lib" / name).write_bytes(b"")
    if audio_lib is not None:
        (folder / "torchaudio" / "lib" / "libtorchaudio.so").write_bytes(audio_lib)
    return folder


ASK = """
import sys, mer
from mer import torchaudio_guard
print(torchaudio_guard.needed(), "torchaudio._extension" in sys.modules, "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("torch_libs", "audio_lib", "expected"),
    [
        (["libtorch_cpu.so"], b"...libtorch_cuda.so...", True),
        (["libtorch_cpu.so", "libtorch_cuda.so"], b"...libtorch_cuda.so...", False),
        (["libtorch_cpu.so", "libtorch_hip.so"], b"...libtorch_cuda.so...", False),
        (["libtorch_cpu.so"], b"...libtorch_cpu.so...", False),
        (["libtorch_cpu.so"], None, False),
    ],
    ids=["cpu torch, cuda audio", "cuda torch", "rocm torch", "cpu audio", "audio without extension"],
)
def test_active_only_where_torchaudio_cannot_load(
    tmp_path: Path, torch_libs: list[str], audio_lib: bytes | None, expected: bool
) -> None:
    done = run_python(ASK, fake_packages(tmp_path, torch_libs=torch_libs, audio_lib=audio_lib))
    assert done.stdout.split() == [str(expected), str(expected), "False"], done.stderr


def test_not_needed_without_torchaudio() -> None:
    done = run_python("""
        import sys, importlib.util
        real = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *a: None if name == "torchaudio" else real(name, *a)
        import mer
        from mer import torchaudio_guard
        print(torchaudio_guard.needed(), "torchaudio._extension" in sys.modules)
    """)
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_leaves_an_imported_torchaudio_alone() -> None:
    done = run_python("""
        import sys, types
        sys.modules["torchaudio"] = types.ModuleType("torchaudio")
        import mer
        print("torchaudio._extension" in sys.modules)
    """)
    assert done.stdout.strip() == "False", done.stderr


def test_twice_is_once() -> None:
    done = run_python("""
        import sys, mer
        first = sys.modules.get("torchaudio._extension")
        mer.torchaudio_guard.install_if_needed()
        print(sys.modules.get("torchaudio._extension") is first)
    """)
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.slow
def test_text_models_and_torchaudio_work_after_import_mer() -> None:
    """Both lines fail beside a CPU torch without the guard, the second one even for text models."""
    torchaudio = """
        import torchaudio, torchaudio.transforms
        assert torchaudio.transforms.MelSpectrogram(16000, n_mels=8)(torch.zeros(1, 1600)).shape[1] == 8
        if mer.torchaudio_guard.needed():
            try:
                torchaudio.functional.forced_align(torch.zeros(1, 4, 3), torch.ones(1, 2, dtype=torch.int32))
            except RuntimeError as fault:
                assert "forced_align" in str(fault) and "CUDA" in str(fault), fault
            else:
                raise AssertionError("forced_align ran without its extension")
    """
    done = run_python(f"""
        import mer, torch
        {torchaudio if find_spec("torchaudio") else ""}
        from transformers import RobertaConfig, RobertaModel
        sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
        model = RobertaModel(RobertaConfig(vocab_size=20, **sizes))
        print(model(torch.zeros(1, 3, dtype=torch.long)).last_hidden_state.shape[-1])
    """)
    assert done.stdout.strip() == "16", done.stderr
