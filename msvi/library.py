"""The library in four lines: learn from arrays, forecast, draw, and load again.

    model = msvi.fit(u, t, boundary="periodic", workdir="runs/wave")
    forecast = model.forecast(u0, t, members=64)
    msvi.plot(forecast, "wave.png")
    model = msvi.load("runs/wave")

Fields come and go in the units of the data, forecasts as `xarray.Dataset` under the names that the data have.
"""

import dataclasses
import difflib
import functools
import importlib.util
import os
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr

from msvi.assimilation.analysis import Analysis
from msvi.backend import prepare
from msvi.config import Config, from_dict, to_dict
from msvi.data.dataset import load_dataset
from msvi.data.given import from_arrays, from_xarray, kinds_of
from msvi.data.labels import Labels
from msvi.data.named import Naming, split_gaps
from msvi.data.recorded import describe
from msvi.data.split import Split, some_frames
from msvi.errors import InputError
from msvi.evaluation.evaluate import evaluate
from msvi.forecast.ensemble import ensemble_fields, forecast_latents, solve_ensemble, solver_steps
from msvi.model.condition import Conditions
from msvi.model.multiscale import MultiscaleModel
from msvi.provenance import versions
from msvi.recipe.build import build_conditions
from msvi.recipe.variants import CUSTOM
from msvi.report.animation import save_gif
from msvi.report.plots_assimilation import analysis_figure, analysis_frames
from msvi.report.plots_forecast import forecast_figure, forecast_frames
from msvi.report.save import save_figure
from msvi.training.loop import train
from msvi.training.portable import read_archive, read_description, write_archive
from msvi.training.trained import open_run, restore_run
from msvi.training.workdir import Workdir
from msvi.types import Array, Gaussian, Params
from msvi.writing import replacing

_FRAMES_PER_SECOND = 12  # of a moving picture
# Of the data, that a forecast may be long: more is a time in another unit.
_MOST_FRAMES = 1e6
# Members with which several first frames are joined, at least: of fewer the variance is a guess.
_LEAST_JOINED = 64
# Of the configuration.
_GROUPS = ("model", "inference", "train", "forecast", "data")


def fit(
    u: np.ndarray | xr.Dataset | xr.DataArray | str,
    t: np.ndarray | None = None,
    *,
    workdir: str,
    boundary: str | Sequence[str] = (),
    coordinates: Sequence[np.ndarray] = (),
    mask: np.ndarray | None = None,
    mu: np.ndarray | None = None,
    forcing: np.ndarray | None = None,
    split: Sequence[str] | None = None,
    **fields: Any,
) -> "Model":
    """Learns a model as `train.py --config=configs/custom.py` does; a call that was interrupted goes on.

    Args:
      u: observed fields, `(trajectory, time, *grid, channel)`, of one channel without the last axis if `boundary` names
        as many axes as there then are; an `xarray.Dataset` or `DataArray` (see `msvi.data.formats.gridded`); or a path
        of a data file.
      t: times of the frames, `(time,)` or `(trajectory, time)`, numbers or dates; with xarray or a path they are there.
      workdir: folder of the run, which is created.
      boundary: `"periodic"` or `"edge"`, for all axes of space or one for each; may be left out if the data say it.
      coordinates: points of each axis, `(points,)`.
      mask: true where `u` was observed, here and below as in `msvi.data.formats.layout`, with arrays only.
      mu: parameters of each trajectory's system.
      forcing: what acts from outside.
      split: which trajectories to learn from, validate on and test on.
      fields: of the configuration, by their names (`micro_dim=3`, `steps=5000`; `data_seed` and `seed` are two things).

    Raises:
      InputError: data that cannot be used, an unknown field, or a folder that holds something else or another run.
    """
    prepare()
    arrays = {"t": t, "mask": mask, "mu": mu, "forcing": forcing, "split": split, "coordinates": coordinates or None}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    if isinstance(u, str):
        if arrays:
            raise InputError(f"With the path of a data file the arrays are its own; leave out {', '.join(arrays)}.")
        places = {"path": u, "boundary": kinds_of(boundary, len(describe(u).grid))}
    else:
        given = (
            from_xarray(u, boundary, arrays)
            if isinstance(u, xr.Dataset | xr.DataArray)
            else from_arrays(np.asarray(u), boundary, arrays)
        )
        places = {"path": _write(given, workdir)}
    try:
        train(_with_fields(CUSTOM, places | fields), workdir)
    except InputError:
        run = Workdir(os.path.abspath(workdir))
        if not isinstance(u, str) and not os.path.exists(run.config):  # refused before it began
            os.remove(run.data)
        raise
    return load(workdir)


def load(workdir: str) -> "Model":
    """The model of a run as it did best on its validation trajectories; its data are not needed.

    Args:
      workdir: folder of the run, or an archive that `export` wrote.

    Raises:
      InputError: it is missing, no run of msvi, or has no checkpoint yet.
    """
    prepare()
    if os.path.isfile(workdir):
        found, params = read_archive(workdir)
        return Model(found.config, found.model, params, found.coordinates, found.labels, os.path.abspath(workdir))
    run, _ = open_run(workdir)
    found = read_description(run.model)
    state = restore_run(run, found.config, None, found.model)[0]
    return Model(found.config, found.model, state.average["model"], found.coordinates, found.labels, run.path)


def export(workdir: str, path: str) -> None:
    """Writes the model of a run into one file, which `load` takes on any machine: weights, configuration, versions.

    Args:
      workdir: folder of the run.
      path: of the archive, `.zip`, which must not exist.

    Raises:
      InputError: as for `load`, or the file exists.
    """
    if os.path.exists(path) or not path.endswith(".zip"):
        raise InputError(f"The archive must end with .zip and not exist, got {path!r}; choose another.")
    run, _ = open_run(workdir)
    found = read_description(run.model)
    state, record, _ = restore_run(run, found.config, None, found.model)
    with open(run.model, encoding="utf-8") as file:
        write_archive(path, file.read(), state.average["model"], record)


def plot(forecast: xr.Dataset | Analysis, path: str, channel: str = "", truth: np.ndarray | None = None) -> None:
    """Draws a forecast into a file: snapshots of the ensemble as .png, .pdf or .svg, a moving picture as .gif.

    Args:
      forecast: from `Model.forecast`; with `parts` the parts are drawn too. Or an `Analysis`, with what sensors saw.
      path: of the file.
      channel: name of the channel that is drawn, with its number behind where channels have no names (`u_0`); the first
        if empty.
      truth: of an analysis, the field of the channel `(time, *axes)` where it is known.

    Raises:
      InputError: another kind of file, or an unknown channel.
    """
    stem, ending = os.path.splitext(path)
    if isinstance(forecast, Analysis):
        if ending == ".gif":
            save_gif(path, analysis_frames(forecast, channel, truth), _FRAMES_PER_SECOND)
        else:
            save_figure(analysis_figure(forecast, channel, truth), stem, (ending.removeprefix("."),))
    elif ending == ".gif":
        save_gif(path, forecast_frames(forecast, channel), _FRAMES_PER_SECOND)
    else:
        save_figure(forecast_figure(forecast, channel), stem, (ending.removeprefix("."),))


@dataclasses.dataclass(frozen=True)
class Model:
    """A trained model.

    Attributes:
      config: with nothing left open.
      model: the multiscale model; its methods are pure functions of `params`.
      params: the weights.
      coordinates: points of each axis of space.
      labels: names and units of the data.
      workdir: of the run, or the path of an archive.
    """

    config: Config
    model: MultiscaleModel
    params: Params
    coordinates: tuple[np.ndarray, ...]
    labels: Labels
    workdir: str

    def forecast(
        self,
        u0: np.ndarray | xr.Dataset | xr.DataArray | Analysis,
        t: np.ndarray,
        members: int = 64,
        *,
        window: np.ndarray | None = None,
        noise: bool = True,
        parts: bool = False,
        seed: int = 0,
        mu: np.ndarray | None = None,
        forcing: np.ndarray | None = None,
    ) -> xr.Dataset:
        """An ensemble from an observed field: `z0` drawn from the encoder, the SDE solved over `t`, decoded.

        Args:
          u0: the field at `t[0]`, `(*grid, channel)`, of one channel also `(*grid,)`, or several with a first axis
            `initial`; NaN where it was not observed. Or an `Analysis`, whose last ensemble goes on.
          t: times, `(time,)`, numbers in the unit of the data or dates, increasing, evenly spaced or not.
          members: of the ensemble; that of an analysis has its own number.
          window: times of several first frames, `(frame,)`, the last of which is `t[0]`: `u0` then are these frames,
            and the forecast begins with what all of them tell.
          noise: whether members are what would be observed, with noise of their own; else what the decoder expects.
          parts: whether the macroscale and the microscale part of the mean are told too.
          seed: of all that is drawn.
          mu: parameters of the system, `(parameter,)` or one row for each field, where the model learned of such.
          forcing: what acts from outside at times `t`, `(time, force)` or `(time, *grid, force)`, likewise.

        Returns:
          For each channel `NAME` `(member, time, *axes)`; `NAME_mean` and `NAME_std` `(time, *axes)`, mean and standard
          deviation of what may be observed, without any noise drawn into them; and `NAME_macro`, `NAME_micro` with
          `parts`. An axis `initial` in front if there are several fields, a last axis `channel` of channels without
          names.

        Raises:
          InputError: a shape, times or conditions that do not fit.

        Warns:
          RuntimeWarning: members that are not finite, and from when on.
        """
        if members < 1:
            raise InputError(f"`members` must be at least 1, got {members}.")
        if window is not None:
            u0 = self._from_window(u0, window, t, members, seed, mu, forcing)
        if isinstance(u0, Analysis):
            return self._go_on(u0, t, noise, parts, seed, mu, forcing)
        u0, several = self._naming.initial_fields(u0)
        t, since = self._naming.times(t)
        conditions = self._conditions(mu, forcing, since, u0)
        settings = {"model": self.model, "members": members, "noise": noise, "solver": self.config.forecast.solver}
        steps = self._steps(since)
        found = []
        for number, frame in enumerate(u0):
            key = jax.random.fold_in(jax.random.key(seed), number)
            acting = jax.tree.map(lambda a, number=number: a[number], conditions)
            arrays = _forecast(self.params, since, steps, *split_gaps(frame), acting, key, **settings)
            found.append({name: np.asarray(array) for name, array in arrays.items()})
        arrays = {name: np.stack([one[name] for one in found]) for name in found[0]}
        return self._described(arrays, t, parts, several)

    def assimilate(
        self,
        observations: np.ndarray | xr.Dataset | xr.DataArray,
        times: np.ndarray | None = None,
        *,
        positions: np.ndarray | None = None,
        channel: int | str | Sequence[int | str] | None = None,
        widths: np.ndarray | float | None = None,
        weights: np.ndarray | None = None,
        noise: np.ndarray | float | None = None,
        initial: np.ndarray | xr.Dataset | xr.DataArray | None = None,
        start: Any = None,
        members: int = 64,
        smoother: str | int | None = None,
        localisation: str | float | None = "auto",
        inflation: float | None = None,
        decoder_noise: bool = True,
        data_noise: np.ndarray | float | None = None,
        fields: bool = True,
        seed: int = 0,
        mu: np.ndarray | None = None,
        forcing: np.ndarray | None = None,
    ) -> Analysis:
        """An ensemble that follows the SDE and is corrected by observations as they come: an ensemble Kalman filter in
        the latent state.

        Args:
          observations: NaN where there is none. `(time, sensor)` of sensors at `positions`, or with `weights`; of all
            channels at each position `(time, sensor, channel)`; or frames `(time, *grid, channel)` with gaps. Or an
            `xarray.Dataset` with an axis `time` and the channels' names: on the grid; or with an axis `sensor`, the
            axes of space as coordinates of it, and `NAME_noise` and `AXIS_width` where there are such.
          times: `(time,)`, increasing, any; may be left out if xarray has them.
          positions: of sensors, in the coordinates of the data, `(sensor, axis)`.
          channel: name or number of what sensors observe, one for all or one for each.
          widths: of boxes over which sensors average, along each axis; points if left out.
          weights: of sensors that read weighted sums of the field, `(sensor, *grid, channel)`.
          noise: standard deviation of the sensors' noise in the unit of the data: one number, `(sensor,)`, `(time,
            sensor)`, or of frames `(channel,)`. If left out, readings are as those of the training data: the decoder's
            variance says how far they scatter.
          initial: what is known at the start: a field, or several fields that stand for what may be. If left out,
            frames of the training data, which must be at hand.
          start: time at which `initial` holds; the first of `times` if left out.
          members: of the ensemble.
          smoother: None; `"full"` for ensembles from all observations; or of how many later times they are from.
          localisation: radius in coarse cells beyond which a sensor tells nothing; None for no limit, `"auto"` for a
            limit where the ensemble is small (see `msvi.assimilation.localise.default_radius`).
          inflation: by what part members are moved away from their mean before each correction; one over their number
            if left out.
          decoder_noise: whether the decoder's variance is added to that of a `noise` that is given: it is what the
            latent state does not carry.
          data_noise: standard deviation of the noise in the training data, `(channel,)` or one number, whose square is
            taken off the decoder's variance where that is added; if left out what the configuration says.
          fields: whether fields of all members are told, not only their mean and standard deviation.
          seed: of all that is drawn.
          mu: parameters of the system, `(parameter,)`, where the model learned of such.
          forcing: what acts from outside at the times, `(time, force)` or `(time, *grid, force)`, likewise.

        Returns:
          Ensembles, statistics and evidence; `forecast` goes on from it.

        Raises:
          InputError: a shape, times, sensors, noise or conditions that do not fit; or cuthbert is not installed.

        Warns:
          RuntimeWarning: members that were lost.
        """
        require_cuthbert()
        from msvi.assimilation import model as filtering
        from msvi.assimilation.readings import Space, read, times_of

        space = Space(self._naming, self.coordinates, self.model.boundary)
        times = np.atleast_1d(np.asarray(times_of(observations, times)))
        start = times[0] if start is None and times.size else start
        t, since = self._naming.times(times, start, "times")
        self._check_span(since)
        known = self.config.data.noise_std if data_noise is None else data_noise
        options = filtering.Options(members, smoother, localisation, inflation, decoder_noise, known, fields, seed)
        filtering.check(options)
        told = {"positions": positions, "channel": channel, "widths": widths, "weights": weights, "noise": noise}
        readings = read(observations, len(t), space, **told)
        learned = filtering.Learned(self.model, self.params, space)
        found = self._training_frames(members, seed) if initial is None else self._naming.initial_fields(initial)[0]
        conditions = jax.tree.map(lambda a: a[0], self._conditions(mu, forcing, since, found[:1]))
        encoded = _encode(self.params, *split_gaps(found), model=self.model)
        solver = self.config.forecast.solver, self.config.forecast.steps_per_frame
        return filtering.analyse(learned, readings, t, since, start, encoded, conditions, solver, options)

    def encode(self, u: np.ndarray) -> np.ndarray:
        """Mean latent states `(..., latent_dim)` of fields `(..., *grid, channel)`; NaN is what was not observed."""
        u, before = self._naming.frames(u)
        z = _encode(self.params, *split_gaps(u), model=self.model).mean
        return np.asarray(z).reshape(*before, -1)

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Mean fields `(..., *grid, channel)` of latent states `(..., latent_dim)`."""
        z = np.asarray(z, np.float32)
        if z.shape[-1:] != (self.model.latent_dim,):
            raise InputError(f"Latent states must have {self.model.latent_dim} numbers, got the shape {z.shape}.")
        fields = _decode(self.params, z.reshape(-1, z.shape[-1]), model=self.model)
        return np.asarray(fields).reshape(*z.shape[:-1], *self.model.field_shape)

    def reconstruct(self, u: np.ndarray) -> np.ndarray:
        """Fields encoded and decoded again, of the same shape: what the latents can say of them."""
        return self.decode(self.encode(u)).reshape(np.shape(u))

    def latents(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Latent states `(..., latent_dim)` as macroscale state `(..., *coarse_grid, channel)` and microscale latents,
        `(..., micro_dim)` or `(..., *coarse_grid, micro_dim)`."""
        zeta, eta = (np.asarray(z)[..., place] for place in self.model.places)
        return zeta, eta

    def drift(self, z: np.ndarray, t: float = 0.0) -> np.ndarray:
        """Rates `f(z, t)` of latent states `(..., latent_dim)`, per unit of time of the data, of a system on which
        nothing acts from outside."""
        z, unit = np.asarray(z, np.float32), self.model.scales.time_unit
        rates = jax.vmap(lambda z: self.model.drift(self.params, t / unit, z))(z.reshape(-1, z.shape[-1]))
        return np.asarray(rates).reshape(z.shape) / unit

    def evaluate(self, results: str | None = None) -> dict[str, Any]:
        """Scores and figures of the test trajectories, as `evaluate.py` has them; needs the data.

        Args:
          results: folder of result files; a folder of the run's own if None.
        """
        if os.path.isfile(self.workdir):
            raise InputError(f"{self.workdir} is an archive, which has no data to evaluate on; evaluate its run.")
        return evaluate(self.workdir, results or os.path.join(self.workdir, "results")).result

    def _go_on(
        self, analysis: Analysis, t: Any, noise: bool, parts: bool, seed: int, mu: Any, forcing: Any
    ) -> xr.Dataset:
        """A forecast from the last ensemble of an analysis."""
        z0 = analysis.filtered["latents"].values[:, -1]
        last = analysis.filtered["time"].values[-1]
        t, since = self._naming.times(t, last)
        before = self._naming.times(np.atleast_1d(last), analysis.start)[1][-1]
        conditions = self._conditions(mu, forcing, before + since, np.zeros((1, *self.model.field_shape)))
        conditions = jax.tree.map(lambda a: a[0], conditions)
        skipped = int(since[0] > 0)
        since = np.append(0.0, since) if skipped else since
        settings = {"model": self.model, "noise": noise, "solver": self.config.forecast.solver}
        key, steps = jax.random.key(seed), before + self._steps(since)
        found = _go_on(self.params, before + since, steps, z0, conditions, key, **settings)
        arrays = {name: np.asarray(array) for name, array in found.items()}
        arrays = {name: array[(slice(None), slice(skipped, None))[name != "" :]] for name, array in arrays.items()}
        return self._described({name: array[None] for name, array in arrays.items()}, t, parts, several=False)

    def _from_window(self, u: Any, window: Any, t: Any, members: int, seed: int, mu: Any, forcing: Any) -> Analysis:
        """What several first frames tell: all of them encoded and joined, or if some have gaps, the first as a forecast
        takes it, corrected by the others."""
        require_cuthbert()
        from msvi.assimilation.run import Settings, join_frames, make_schedule

        frames = self._naming.fields(u)
        window, last = np.atleast_1d(np.asarray(window)), np.atleast_1d(np.asarray(t))[0]
        if forcing is not None:
            raise InputError("`window` and `forcing` do not go together; use `assimilate` and forecast from it.")
        if len(window) < 2 or window[-1] != last or frames.shape != (len(window), *self.model.field_shape):
            raise InputError(
                f"`window` must be the times of two frames or more, the last at `t[0]`, and `u0` the frames "
                f"{self.model.field_shape} at them, got {len(window)} times, the last {window[-1]}, and {frames.shape}."
            )
        number = max(members, _LEAST_JOINED)
        if not np.isfinite(frames).all():
            told = {"initial": frames[0], "start": window[0], "members": number, "fields": False, "seed": seed}
            analysis = self.assimilate(frames[1:], window[1:], **told, mu=mu)
            return dataclasses.replace(analysis, filtered=analysis.filtered.isel(member=slice(members)))
        times, since = self._naming.times(window)
        self._check_span(since)
        forecast = self.config.forecast
        z = join_frames(
            self.params,
            jax.random.key(seed),
            frames,
            *make_schedule(self.model, since[1:], forecast.steps_per_frame),
            jax.tree.map(lambda a: a[0], self._conditions(mu, forcing, since, frames[:1])),
            model=self.model,
            settings=Settings(forecast.solver, forecast.steps_per_frame, 1 / number),
            members=number,
        )
        latents = ("member", "time", "latent"), np.asarray(z[:members, None])
        return Analysis(xr.Dataset({"latents": latents}, {"time": times[-1:]}), None, xr.Dataset(), window[0])

    def _training_frames(self, number: int, seed: int) -> np.ndarray:
        """So many frames of the training data at random, `(frame, *grid, channel)`, NaN where nothing was observed."""
        if os.path.isfile(self.workdir):
            raise InputError(f"{self.workdir} is an archive, which has no training data; give `initial`, fields.")
        return some_frames(
            load_dataset(self.config.case, self.config.data, self.config.train.data_on).train, number, seed
        )

    def _described(self, arrays: dict[str, np.ndarray], t: np.ndarray, parts: bool, several: bool) -> xr.Dataset:
        """A forecast of fields `(initial, ...)` under the names of the data."""
        _warn_of_lost(arrays[""], t)
        for name, part in (("macro", arrays.pop("macro")), ("micro", arrays.pop("micro"))):
            arrays |= {name: part} if parts else {}
        front = ("initial",) if several else ()
        dims: dict[str, tuple[str, ...]] = dict.fromkeys(("mean", "std", "macro", "micro"), (*front, "time"))
        dims[""] = (*front, "member", "time")
        values = {name: array if several else array[0] for name, array in arrays.items()}
        coordinates = {"time": ("time", t, self._naming.attributes("time")), "member": np.arange(arrays[""].shape[1])}
        if several:
            coordinates["initial"] = np.arange(len(arrays[""]))
        for axis, points in zip(self._naming.axes, self.coordinates, strict=True):
            coordinates[axis] = axis, points, self._naming.attributes(axis)
        source = f"msvi {versions()['msvi']}, run {os.path.basename(self.workdir)}"
        return self._naming.dataset(values, dims, coordinates).assign_attrs(source=source)

    def _steps(self, since: np.ndarray) -> np.ndarray:
        """Times of the solver's steps."""
        self._check_span(since)
        return solver_steps(since[None], self.model.scales.spacing, self.config.forecast.steps_per_frame)[0]

    def _check_span(self, since: np.ndarray) -> None:
        """Passes where times can be of the unit of the data."""
        spacing = self.model.scales.spacing
        if 0 < spacing < since[-1] / _MOST_FRAMES:  # 0 where it is not known
            raise InputError(
                f"`t` spans {since[-1] / spacing:.3g} times what lies between frames of the data, {spacing:.3g}; at "
                f"most {_MOST_FRAMES:.0g} can be forecast; give times in the unit of the data."
            )

    @property
    def _naming(self) -> Naming:
        return Naming(self.labels, self.model.field_shape)

    def _conditions(self, mu: Any, forcing: Any, since: np.ndarray, u0: np.ndarray) -> Conditions:
        """Conditions with an axis in front, one for each field."""
        scale, number, found = self.model.condition_scale, len(u0), {}
        for name, value, size in (("mu", mu, len(scale.mu_mean)), ("forcing", forcing, len(scale.forcing_mean))):
            if (value is not None) != bool(size):
                has = f"learned of {size} numbers" if size else "knows none"
                raise InputError(f"`{name}` is {'missing' if value is None else 'given'}, but the model {has} of it.")
            if value is None:
                continue
            one = (size,) if name == "mu" else (len(since), *(self.model.grid if scale.local else ()), size)
            value = np.asarray(value, np.float32)
            if value.shape not in (one, (number, *one)) or not np.isfinite(value).all():
                raise InputError(f"`{name}` must be finite, of the shape {one}, got {value.shape}.")
            found[name] = np.broadcast_to(value, (number, *one))
        t = np.broadcast_to(since, (number, len(since)))
        split = Split(t, u0[:, None], forcing_t=t if "forcing" in found else None, **found)
        return build_conditions(self.model, split)


@functools.partial(jax.jit, static_argnames=("model", "members", "noise", "solver"))
def _forecast(
    params: Params,
    t: Array,
    steps: Array,
    u0: Array,
    mask0: Array | None,
    conditions: Conditions,
    key: Array,
    *,
    model: MultiscaleModel,
    members: int,
    noise: bool,
    solver: str,
) -> dict[str, Array]:
    """Members `(member, time, *grid, channel)` under the empty name, and what is told of them, `(time, ...)`."""
    path_key, noise_key = jax.random.split(key)
    z = forecast_latents(
        model, params, t, u0, path_key, members, solver=solver, conditions=conditions, mask0=mask0, steps=steps
    )
    return ensemble_fields(model, params, z, noise_key, noise)


@functools.partial(jax.jit, static_argnames=("model", "noise", "solver"))
def _go_on(
    params: Params,
    t: Array,
    steps: Array,
    z0: Array,
    conditions: Conditions,
    key: Array,
    *,
    model: MultiscaleModel,
    noise: bool,
    solver: str,
) -> dict[str, Array]:
    """The same from an ensemble of latent states `(member, latent_dim)`."""
    path_key, noise_key = jax.random.split(key)
    keys = jax.random.split(path_key, len(z0))
    z = solve_ensemble(model, params, t, z0, keys, steps, solver, conditions)
    return ensemble_fields(model, params, z, noise_key, noise)


def require_cuthbert() -> None:
    """Passes where the library that filters is installed.

    Raises:
      InputError: with what to install.
    """
    if importlib.util.find_spec("cuthbertlib") is None:
        raise InputError(
            "Assimilation needs the package cuthbert, which is not installed; install it with pip install "
            "'msvi[assimilation]'."
        )


def _warn_of_lost(u: np.ndarray, t: np.ndarray) -> None:
    """Warns of members `(initial, member, time, *grid, channel)` that are not finite."""
    lost = ~np.isfinite(u).all(axis=tuple(range(3, u.ndim)))
    if lost.any():
        members, first = lost.any(axis=-1), t[lost.reshape(-1, len(t)).any(axis=0).argmax()]
        warnings.warn(
            f"{members.sum()} of {members.size} members of the forecast are not finite, the first of them from {first} "
            "on; forecast a shorter time, or train longer.",
            RuntimeWarning,
            stacklevel=3,
        )


@functools.partial(jax.jit, static_argnames="model")
def _encode(params: Params, u: Array, mask: Array | None, *, model: MultiscaleModel) -> Gaussian:
    """What the encoder makes of frames `(frame, *grid, channel)`, mean and variance each `(frame, latent_dim)`."""
    return jax.lax.map(lambda frame: model.encode(params, *frame), (u, mask))


@functools.partial(jax.jit, static_argnames="model")
def _decode(params: Params, z: Array, *, model: MultiscaleModel) -> Array:
    """Mean fields `(frame, *grid, channel)` of latent states `(frame, latent_dim)`."""
    return jax.lax.map(lambda z: model.decode(params, z).mean, z)


def _with_fields(config: Config, fields: dict[str, Any]) -> Config:
    """`config` with fields that are named without their groups."""
    values = to_dict(config)
    for name, value in fields.items():
        if name == "seed":
            values["seed"] = value
            continue
        own = name.removeprefix("data_") if name == "data_seed" else name
        groups = [group for group in _GROUPS if own in values[group]]
        if not groups:
            known = sorted(field for group in _GROUPS for field in values[group])
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(known)}."
            raise InputError(f"There is no field `{name}`; {hint}")
        values[groups[0]][own] = value
    return from_dict(values)


def _write(dataset: xr.Dataset, workdir: str) -> str:
    """The path of a file in the run's folder that holds it.

    Raises:
      InputError: a run of other data is there.
    """
    run = Workdir(os.path.abspath(workdir))
    with replacing(run.data) as new:
        dataset.to_netcdf(new, engine="h5netcdf")
        if os.path.exists(run.data) and os.path.exists(run.config):
            with xr.open_dataset(run.data, decode_cf=False) as before, xr.open_dataset(new, decode_cf=False) as now:
                if not before.identical(now):
                    raise InputError(f"{run.path} holds a run that was trained on other data; choose another workdir.")
    return run.data
