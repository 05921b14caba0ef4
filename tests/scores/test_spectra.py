"""Spectra of waves whose spectrum is known, and shares of variance that are known."""

import numpy as np

from msvi.scores.spectra import power_spectrum, variance_share


def line(n=64, extent=2.0):
    return (np.arange(n) * extent / n,)


def test_single_wave():
    """`3 cos(2 pi 4 x)` on a line of length 2: wavenumber 4, power 9/2, nothing elsewhere; constants do not count."""
    (x,) = line()
    u = (5 + 3 * np.cos(2 * np.pi * 4 * x + 0.3))[None, :, None]
    wavenumber, power = power_spectrum(u, (x,), ("periodic",))
    np.testing.assert_allclose(wavenumber[np.argmax(power)], 4.0)
    np.testing.assert_allclose(power.max(), 4.5, rtol=1e-12)
    assert np.delete(power, np.argmax(power)).max() < 1e-20
    np.testing.assert_allclose(wavenumber[:3], [0.5, 1.0, 1.5])


def test_frames_and_channels():
    """Channels add up; over frames the mean is taken."""
    (x,) = line()
    wave = np.cos(2 * np.pi * x)
    one = np.stack([np.stack([wave, 2 * wave], axis=-1), np.zeros((len(x), 2))])
    _, power = power_spectrum(one, (x,), ("periodic",))
    np.testing.assert_allclose(power.max(), (0.5 + 2) / 2, rtol=1e-12)


def test_parseval():
    """White noise: powers times the widths of their bins add up to the mean square, but for what lies in the corner."""
    u = np.random.default_rng(0).standard_normal((20, 256, 1))
    x = np.arange(256) / 256
    wavenumber, power = power_spectrum(u, (x,), ("periodic",))
    total, start = 0.0, 1
    for centre, p in zip(wavenumber, power, strict=True):  # bins are adjacent, so their centres give their widths
        width = round(2 * (centre - start) + 1)
        total, start = total + p * width, start + width
    assert start == 129  # up to Nyquist
    np.testing.assert_allclose(total, np.mean(u**2), rtol=0.02)


def test_plane_wave():
    """On a rectangle the length of the wave vector counts, in units of the coarser axis; edges see a window."""
    x, y = np.arange(64) / 64, np.arange(32) / 32
    u = np.cos(2 * np.pi * (3 * x[:, None] + 4 * y[None]))[None, ..., None]
    for boundary in (("periodic", "periodic"), ("edge", "edge")):
        wavenumber, power = power_spectrum(u, (x, y), boundary)
        assert wavenumber[np.argmax(power)] == 5.0, boundary
        near = np.abs(wavenumber - 5) < 2.1
        np.testing.assert_allclose(power[near].sum(), 0.5, rtol=0.02)


def test_long_domain():
    """Axes of different length: bins are as wide as the coarsest wavenumber of the shorter one."""
    x, y = np.arange(64) / 16, np.arange(16) / 16
    u = np.cos(2 * np.pi * 2 * x)[None, :, None, None] * np.ones((1, 64, 16, 1))
    wavenumber, power = power_spectrum(u, (x, y), ("periodic", "periodic"))
    assert wavenumber[0] == 1.0 and wavenumber[np.argmax(power)] == 2.0
    np.testing.assert_allclose(power.max(), 0.5, rtol=1e-12)


def test_shares_add_up():
    """Two parts of variance 1 and 4 that do not correlate carry 1/5 and 4/5; correlated ones add up to 1 too."""
    phase = 2 * np.pi * np.arange(64) / 64
    a, b = np.cos(phase)[None, :, None], 2 * np.cos(2 * phase)[None, :, None] + 7
    np.testing.assert_allclose(variance_share(a, a + b), 0.2, rtol=1e-12)
    c = b - 0.5 * a
    np.testing.assert_allclose(variance_share(a, a + c) + variance_share(c, a + c), 1.0, rtol=1e-12)
