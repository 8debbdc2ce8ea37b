# The metadata is in pyproject.toml. This file builds the native libraries.
import copy
import os
import runpy
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

ROOT = Path(__file__).parent
NATIVE = runpy.run_path(str(ROOT / "easnn/native/sources.py"))
SOURCES = Path("easnn/native/src")
FLAGS = os.environ.get("EASNN_CXXFLAGS", "").split()  # after ours, for instance of a sanitizer


class BuildNative(build_ext):  # type: ignore[misc]
    """Builds libraries that are no Python modules: their names do not contain Python's version."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel: bool | int = self.parallel or True  # one compiler for each core

    def get_ext_filename(self, fullname: str) -> str:
        return f"{fullname.replace('.', '/')}.so"

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return []

    def build_extension(self, ext: Extension) -> None:
        # Libraries share sources, which each of them compiles with options of its own.
        own = copy.copy(self)
        own.build_temp = str(Path(self.build_temp) / ext.name)
        try:
            super(BuildNative, own).build_extension(ext)
        except CompileError as error:  # setuptools warns of it and goes on
            raise CompileError(
                f"{error}\n{ext.name} is not built: it needs {NATIVE['COMPILER']}. easnn works "
                "without it, but is slower."
            ) from error


class PlatformWheel(bdist_wheel):  # type: ignore[misc]
    """A wheel for every Python 3 on this platform."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


setup(
    cmdclass={"build_ext": BuildNative, "bdist_wheel": PlatformWheel},
    ext_modules=[
        Extension(
            f"easnn.native.{library.name}",
            [str(SOURCES / name) for name in library.sources],
            depends=[
                "easnn/native/sources.py",
                *(str(path.relative_to(ROOT)) for path in NATIVE["FOLDER"].iterdir()),
            ],
            define_macros=[("EASNN_SOURCES", f"{library.digest()}ULL")],
            extra_compile_args=[*library.options, *FLAGS],
            language="c++",
            optional=True,  # without a compiler, the Python counterparts are used
        )
        for library in NATIVE["libraries"]()
    ],
)
