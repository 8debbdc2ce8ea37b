"""Prophesee's automotive datasets, Gen1 and 1 megapixel (1Mpx, Gen4), and the synthetic one."""

from __future__ import annotations

from dataclasses import dataclass, replace

GEN1_CLASSES = ("car", "pedestrian")
GEN1_SENSOR_HW = (240, 304)

IGNORED_SEQUENCES = frozenset(
    {
        "17-04-06_09-57-37_6344500000_6404500000",
        "17-04-06_15-14-36_1159500000_1219500000",
        "17-04-11_15-13-23_122500000_182500000",
        "17-04-13_19-17-27_976500000_1036500000",
    }
)
"""Gen1 recordings that published work leaves out: its filters remove all of their labels."""

GEN4_CLASSES = ("pedestrian", "two-wheeler", "car")
GEN4_DROPPED_CLASSES = ("truck", "bus", "traffic sign", "traffic light")
"""Labelled, but not used in published work."""
GEN4_SENSOR_HW = (720, 1280)


@dataclass(frozen=True)
class AutomotiveKind:
    """Properties of a dataset that its ``dataset.json`` and its files do not tell.

    Attributes:
        name: value of the key ``data_name``.
        class_names: name of each class id, in order.
        sensor_hw: height and width of the sensor in pixels.
        dropped_classes: names of the class ids after those; their boxes are dropped.
        ignored: names of recordings to skip.
        preprocessed_classes: name of each class id in a dataset that was preprocessed for RVT and
            has no ``dataset.json``; empty if they are the ``class_names``.
    """

    name: str
    class_names: tuple[str, ...]
    sensor_hw: tuple[int, int]
    dropped_classes: tuple[str, ...] = ()
    ignored: frozenset[str] = frozenset()
    preprocessed_classes: tuple[str, ...] = ()

    @property
    def classes_of_histograms(self) -> tuple[str, ...]:
        """Name of each class id in a dataset that was preprocessed for RVT and declares none."""
        return self.preprocessed_classes or self.class_names


GEN1 = AutomotiveKind("gen1", GEN1_CLASSES, GEN1_SENSOR_HW, ignored=IGNORED_SEQUENCES)
GEN4 = AutomotiveKind("gen4", GEN4_CLASSES, GEN4_SENSOR_HW, dropped_classes=GEN4_DROPPED_CLASSES)
GEN4_ALL = AutomotiveKind(
    "gen4-all",
    GEN4_CLASSES + GEN4_DROPPED_CLASSES,
    GEN4_SENSOR_HW,
    preprocessed_classes=GEN4_CLASSES,
)
"""1Mpx with all classes that are labelled."""
SYNTHETIC = replace(GEN1, name="synthetic")
