from __future__ import annotations

import numpy as np

from audits.controls.planting import PLANTED_CLASSES
from audits.features.overlay import mask_overlays
from audits.images import ImageSet, number_patients
from audits.material import POOL, prepare_material
from audits.settings import AuditSettings

SETTINGS = AuditSettings(planted=5)


def test_every_role_is_masked_alike_and_every_class_planted(make_images) -> None:
    images, keys = make_images(40, seed=1)
    marked = images.copy()
    marked[:, 4:6, 4:24:2] = 255  # a dotted line, as calipers leave
    train, control = ImageSet(marked[:20], keys[:20]), ImageSet(marked[20:], keys[20:])
    names: list[str] = []
    material = prepare_material(
        ImageSet(marked), train, control, number_patients(train, control), SETTINGS,
        advance=names.append,
    )  # fmt: skip
    assert names == [kind.name for kind in PLANTED_CLASSES] == list(material.planted)
    assert POOL in material.planted
    np.testing.assert_array_equal(material.synthetic, material.real)
    np.testing.assert_array_equal(material.real, mask_overlays(marked))
    assert material.overlays > 0.5
    assert material.n_train == 20
    copies = material.planted["exact"]
    np.testing.assert_array_equal(copies.images, material.real[copies.rows])
    # Without a generator and without boxes nothing can be planted, and the reason is kept.
    assert "generator" in str(material.planted["noised and denoised by the generator at "
                                               "strength 0.3"].reason)  # fmt: skip


def test_the_generator_serves_as_a_control(make_images) -> None:
    images, keys = make_images(12, seed=2)
    train, control = ImageSet(images[:8], keys[:8]), ImageSet(images[8:], keys[8:])

    def renoise(rows: np.ndarray, strength: float, seed: int) -> np.ndarray:
        return train.images[rows]

    material = prepare_material(
        ImageSet(images), train, control, number_patients(train, control), SETTINGS,
        renoise=renoise,
    )  # fmt: skip
    made = [name for name in material.planted if "generator" in name]
    assert len(made) == 6
    assert all(len(material.planted[name].rows) == 5 for name in made)
