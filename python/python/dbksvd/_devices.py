"""Graphics devices."""

from __future__ import annotations

from . import _core

__all__ = ["devices"]


def devices() -> list[str]:
    """The graphics devices that :class:`dbksvd.DictionaryLearner` can learn on, in words.

    ``device="gpu"`` takes the first graphics card, ``"gpu:NUMBER"`` the one at that place here, and
    ``"gpu:NAME"`` the first whose name contains the text. A driver that runs on the processor is a
    device, too, and slow.

    Returns
    -------
    list of str
        Empty without a driver for Vulkan, Metal or DirectX 12.

    Raises
    ------
    RuntimeError
        If this package was built without them, which is the default:
        ``pip install ./python -C build-args="--features gpu"`` builds it with them.
    """
    found = _core.devices()
    if found is None:
        raise RuntimeError(
            "this package was built without graphics devices "
            "(pip install ./python -C build-args='--features gpu')"
        )
    return found
