from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def version() -> str:
    for line in (HERE / "easnn" / "__init__.py").read_text().splitlines():
        if line.startswith("__version__"):
            return line.split('"')[1]
    raise RuntimeError("easnn/__init__.py defines no __version__")


setup(
    name="easnn",
    version=version(),
    description="Object detection on event-camera recordings with spiking neural networks (EAS-SNN)",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["easnn", "easnn.*"]),
    package_data={"easnn": ["py.typed", "data/*.json"]},
    python_requires=">=3.11",
    install_requires=[
        "torch>=2.6",
        "torchvision>=0.21",
        "spikingjelly>=2.0,<2.1",
        "numpy>=2.0",
        "h5py>=3.11",
        "hdf5plugin>=5.0",
        "aedat>=2.3",
        "zstandard>=0.22",
        "opencv-python-headless>=4.10",
        "pillow>=10",
        "matplotlib>=3.8",
        "pycocotools>=2.0.8",
        "loguru>=0.7",
        "tabulate>=0.9",
        "tqdm>=4.66",
        "tensorboard>=2.16",
    ],
    extras_require={"wandb": ["wandb>=0.17"]},
)
