"""Which frames training sees, and the learning rate it sees them with."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from msvi.inference.elbo import Frames
from msvi.training.config import TrainConfig
from msvi.training.state import Origins, Trajectories, Windows, cut_frames, make_optimizer, sample_windows, window_times

NUM_TRAJECTORIES, NUM_FRAMES, WINDOW, NUM_WINDOWS = 3, 30, 8, 20_000


def cut_windows(key, t, u, length, num_windows, margin=0):
    """Times and frames of random windows, `(window, frame)` and `(window, frame, *grid, channel)`, as in training.

    `u` `(trajectory, time, *grid, channel)` is continued by the margin first.
    """
    grid = u.shape[2:-1]
    windows = sample_windows(key, jnp.full(len(t), t.shape[1]), [Origins(margin)] * len(grid), length, num_windows)
    u = jnp.pad(u, ((0, 0), (0, 0), *((0, margin),) * len(grid), (0, 0)), mode="wrap")
    times = jax.vmap(lambda window: window_times(t, window, length))(windows)
    trajectories = Trajectories(t, Frames(u), jnp.full(len(t), t.shape[1]))
    return times, jax.vmap(lambda window: cut_frames(trajectories, window, jnp.arange(length), grid).u)(windows)


cut_windows = jax.jit(cut_windows, static_argnums=(3, 4, 5))


@pytest.fixture(scope="module")
def windows():
    """Times and frames of many windows; a frame's value is its trajectory and its number, and so is its time."""
    label = 100 * jnp.arange(NUM_TRAJECTORIES)[:, None] + jnp.arange(NUM_FRAMES)[None]
    t = 0.5 + 0.1 * label
    u = jnp.float32(label)[..., None, None] + jnp.array([0.0, 0.25])[None, None, :, None]
    t, u = cut_windows(jax.random.key(0), t, u, WINDOW, NUM_WINDOWS)
    return np.asarray(t), np.asarray(u)


def test_frames_are_consecutive_and_of_one_trajectory(windows):
    """Every window is a slice of one trajectory, its times those of the same frames; all values exact but `t`."""
    t, u = windows
    assert t.shape == (NUM_WINDOWS, WINDOW) and u.shape == (NUM_WINDOWS, WINDOW, 2, 1)
    trajectory, frame = np.divmod(u[:, :, 0, 0].astype(int), 100)
    assert np.all(trajectory == trajectory[:, :1]) and trajectory.max() < NUM_TRAJECTORIES
    assert np.all(np.diff(frame, axis=1) == 1)
    assert frame.min() == 0 and frame.max() == NUM_FRAMES - 1
    np.testing.assert_array_equal(u[:, :, 1, 0], u[:, :, 0, 0] + 0.25)
    np.testing.assert_allclose(t, 0.5 + 0.1 * (100 * trajectory + frame), rtol=1e-6)


def test_ends_are_seen_as_often_as_the_middle(windows):
    """First, last and middle frames are each in `window` of the `num_frames + window - 1` equally likely starts.

    Five standard errors of 20,000 windows. Plain uniform starts would show the first frame 8 times less.
    """
    frame = windows[1][:, :, 0, 0].astype(int) % 100
    count = np.bincount(frame.ravel(), minlength=NUM_FRAMES)
    p = WINDOW / (NUM_FRAMES + WINDOW - 1)
    error = np.sqrt(p * (1 - p) / NUM_WINDOWS)
    for k in (0, NUM_FRAMES // 2, NUM_FRAMES - 1):
        assert abs(count[k] / NUM_WINDOWS - p) < 5 * error
    # No frame is neglected, and none is in more than twice as many windows.
    assert count.min() / NUM_WINDOWS > p - 5 * error
    assert count.max() / NUM_WINDOWS < 2 * p


def test_trajectories_are_equally_likely(windows):
    """Five standard errors."""
    trajectory = windows[1][:, 0, 0, 0].astype(int) // 100
    share = np.bincount(trajectory, minlength=NUM_TRAJECTORIES) / NUM_WINDOWS
    np.testing.assert_allclose(share, 1 / 3, atol=5 * np.sqrt(2 / 9 / NUM_WINDOWS))


def test_a_window_may_be_the_whole_trajectory():
    """Nothing to choose but the trajectory."""
    t = jnp.arange(5.0)
    u = jnp.arange(5.0)[None, :, None, None]
    times, frames = cut_windows(jax.random.key(0), t[None], u, 5, 2)
    np.testing.assert_array_equal(times, np.stack([t, t]))
    np.testing.assert_array_equal(frames, np.concatenate([u, u]))


def test_windows_are_shifted_within_the_margin():
    """A window is its frames rolled by 0 to `margin` points along each axis, every distance equally likely (five
    standard errors), one distance for all of its frames; without a margin nothing moves."""
    rng = np.random.default_rng(0)
    u = jnp.asarray(rng.standard_normal((2, 6, 5, 4, 1)), jnp.float32)
    t = jnp.tile(jnp.arange(6.0)[None], (2, 1))
    margin, number = 2, 4000
    frames = np.asarray(cut_windows(jax.random.key(0), t, u, 6, number, margin)[1])
    assert frames.shape == (number, 6, 5, 4, 1)
    count = np.zeros((2, margin + 1, margin + 1))
    for i, *shift in np.ndindex(count.shape):
        rolled = np.roll(u[i], [-s for s in shift], (1, 2))
        count[i, *shift] = (frames == rolled).all(axis=(1, 2, 3, 4)).sum()
    p = 1 / count.size
    assert count.sum() == number
    np.testing.assert_allclose(count / number, p, atol=5 * np.sqrt(p * (1 - p) / number))
    still = sample_windows(jax.random.key(0), jnp.array([6, 6]), [Origins(0)] * 2, 6, 10)
    np.testing.assert_array_equal(still.origin, np.zeros((10, 2)))


def test_frames_are_cut_in_the_order_asked_for():
    """Any frames of the window, twice if asked twice, from the corner where the window lies, on two axes of two lengths
    and two channels: copies, so the same bits."""
    u = jnp.asarray(np.random.default_rng(0).standard_normal((3, 10, 7, 5, 2)), jnp.float32)  # 5 x 3 points and 2 more
    window = Windows(jnp.array(2), jnp.array(4), jnp.array([1, 2]))
    index = jnp.array([3, 0, 0, 5])
    trajectories = Trajectories(jnp.zeros((3, 10)), Frames(u), jnp.full(3, 10))
    frames = jax.jit(cut_frames, static_argnums=3)(trajectories, window, index, (5, 3)).u
    np.testing.assert_array_equal(frames, u[2, 4 + index, 1:6, 2:5])


def test_learning_rate_decays_continuously():
    """Adam's step under a constant gradient is the learning rate: 0.9 of the first at step 1000, sqrt(0.9) at 500.

    1e-4 for the rounding of Adam's bias correction in float32.
    """
    config = TrainConfig(learning_rate=2e-3, decay_rate=0.9, decay_steps=1000)
    optimizer = make_optimizer(config)
    gradient = jnp.ones(())

    @jax.jit
    def steps(x):
        def step(carry, _):
            x, state = carry
            updates, state = optimizer.update(gradient, state, x)
            return (optax.apply_updates(x, updates), state), updates

        return jax.lax.scan(step, (x, optimizer.init(x)), length=1001)[1]

    rate = -np.asarray(steps(jnp.zeros(())))
    np.testing.assert_allclose(rate[[0, 500, 1000]], 2e-3 * 0.9 ** np.array([0, 0.5, 1]), rtol=1e-4)


def test_windows_stay_within_their_trajectory():
    """Trajectories of unequal length: every window ends before what fills the shorter ones, and their last frames are
    seen as often as those of the longest."""
    lengths = jnp.array([30, 8, 15])
    windows = jax.jit(lambda key: sample_windows(key, lengths, [Origins(0)], WINDOW, NUM_WINDOWS))(jax.random.key(0))
    trajectory, end = np.asarray(windows.trajectory), np.asarray(windows.start) + WINDOW
    assert windows.start.min() == 0
    for i, length in enumerate(np.asarray(lengths)):
        own = end[trajectory == i]
        assert own.max() == length
        p = WINDOW / (length + WINDOW - 1)  # of the window that ends with the trajectory, if it is longer than that
        if length > WINDOW:
            np.testing.assert_allclose((own == length).mean(), p, atol=5 * np.sqrt(p * (1 - p) / len(own)))


def test_masks_are_cut_with_their_frames():
    """From the same frames and corner, continued in space like the field."""
    rng = np.random.default_rng(0)
    u = jnp.asarray(rng.standard_normal((2, 10, 7, 1)), jnp.float32)
    trajectories = Trajectories(jnp.zeros((2, 10)), Frames(u, u > 0), jnp.full(2, 10))
    window = Windows(jnp.array(1), jnp.array(3), jnp.array([2]))
    frames = jax.jit(cut_frames, static_argnums=3)(trajectories, window, jnp.array([0, 4]), (5,))
    np.testing.assert_array_equal(frames.mask, frames.u > 0)
    np.testing.assert_array_equal(frames.u, u[1, np.array([3, 7]), 2:7])
