"""Unpickling restricted to a list of allowed names.

A pickle is a program: it names callables and calls them. Here it may name data types, the classes
that models are made of, and the few functions below, each of which only makes a value. None of
these does anything to the world outside, called with whatever arguments, and from objects of theirs
no pickle gets at anything else, since `getattr` is replaced by `_method`. Left out on purpose:

- functions of River and scikit-learn but for the named ones; any name that a module has only
  imported (its `os`, its `Path`): a class has to be defined where the pickle says;
- whatever reads files or the network when it is made or gone through: `river.datasets` and
  `river.stream`, `sklearn.datasets`, `numpy.memmap`, `joblib`; and what runs calls for others:
  `sklearn.utils.parallel`, `operator`, `map`, `functools.reduce`, `iter`.

A hostile pickle can still ask for more memory or time than there is, and pass wrong numbers to the
libraries' compiled code. Signing snapshots with a key prevents that.
"""

import pickle
from collections.abc import Sequence
from io import BytesIO
from random import Random
from types import FunctionType, MethodType
from typing import Any, Final

from millstream.core.models.river.expression import MODULES
from millstream.core.models.state_codec.errors import BadStateError

_RIVER: Final = frozenset({"base", "_river_rust", *(name.partition(".")[0] for name in MODULES)})
"""River's packages whose classes may be named."""
_SKLEARN: Final = frozenset(
    {
        *("_loss", "calibration", "cluster", "compose", "covariance", "cross_decomposition"),
        *("decomposition", "discriminant_analysis", "dummy", "ensemble", "feature_extraction"),
        *("feature_selection", "gaussian_process", "impute", "isotonic", "kernel_approximation"),
        *("kernel_ridge", "linear_model", "manifold", "metrics", "mixture", "multiclass"),
        *("multioutput", "naive_bayes", "neighbors", "neural_network", "pipeline"),
        *("preprocessing", "random_projection", "semi_supervised", "svm", "tree"),
    }
)
"""scikit-learn's packages whose classes may be named."""
_PACKAGES: Final = {"river": _RIVER, "sklearn": _SKLEARN}
_NAMED: Final[dict[str, frozenset[str]]] = {
    "builtins": frozenset(
        {
            *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list"),
            *("object", "range", "set", "slice", "str", "tuple"),
        }
    ),
    "collections": frozenset({"Counter", "OrderedDict", "defaultdict", "deque"}),
    # Copies an object, as naive factories of dicts do; it calls what a pickle could call as well.
    "copy": frozenset({"deepcopy"}),
    "datetime": frozenset({"date", "datetime", "time", "timedelta", "timezone"}),
    "functools": frozenset({"partial"}),  # calls what a pickle could call as well
    "itertools": frozenset({"count"}),
    "random": frozenset({"Random"}),
    "statistics": frozenset({"NormalDist"}),
    "numpy": frozenset(
        {
            *("array", "bool_", "dtype", "float16", "float32", "float64", "int16", "int32"),
            *("int64", "int8", "ndarray", "ones", "str_", "uint16", "uint32", "uint64", "uint8"),
            "zeros",
        }
    ),
    "numpy._core.multiarray": frozenset({"_reconstruct", "scalar"}),
    "numpy.core.multiarray": frozenset({"_reconstruct", "scalar"}),
    "numpy._core.numeric": frozenset({"_frombuffer"}),
    "numpy.core.numeric": frozenset({"_frombuffer"}),
    "numpy.random._mt19937": frozenset({"MT19937"}),
    "numpy.random._pcg64": frozenset({"PCG64"}),
    "numpy.random._pickle": frozenset(
        {"__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor"}
    ),
    "numpy.random.bit_generator": frozenset({"SeedSequence", "__pyx_unpickle_SeedSequence"}),
    "river._river_rust.vectordict": frozenset(
        {"euclidean_distance_dict", "euclidean_distance_tuple"}
    ),
    "river.feature_extraction.vectorize": frozenset(
        {"strip_accents_unicode", "tokenize_using_regex_pattern"}
    ),
    "river.forest.online_extra_trees": frozenset({"ExtraTrees._detection_mode_all"}),
    "river.naive_bayes.gaussian": frozenset({"GaussianNB._make_gaussian"}),
    "river.tree.splitter.ebst_splitter": frozenset({"EBSTNode._update_estimator_univariate"}),
    "river.utils.math": frozenset({"minkowski_distance"}),
    "scipy.sparse._csr": frozenset({"csr_array", "csr_matrix"}),
    "sklearn.metrics._dist_metrics": frozenset({"newObj"}),
    "sklearn.neighbors._ball_tree": frozenset({"newObj"}),
    "sklearn.neighbors._kd_tree": frozenset({"newObj"}),
    "sklearn.utils._bunch": frozenset({"Bunch"}),
}
"""Names that are allowed beyond the classes of the packages above."""


class _Refused(pickle.UnpicklingError):
    """The pickle names what it must not; the message is what."""


def unpickle(data: bytes, trusted_modules: Sequence[str] = ()) -> Any:
    """Read a pickle. Raises BadStateError where it names anything that is not allowed.

    `trusted_modules`: names of modules and packages of the user's own; a pickle may name whatever
    is defined there.
    """
    try:
        return _Unpickler(data, trusted_modules).load()
    except _Refused as error:
        raise BadStateError(f"its pickle names {error}, which is not allowed") from error
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # River's Rust parts raise one that is no Exception
        said = (str(error).splitlines() or [""])[0]
        raise BadStateError(f"it cannot be unpickled ({type(error).__name__}: {said})") from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, trusted_modules: Sequence[str]) -> None:
        super().__init__(BytesIO(data))
        self._trusted = tuple(trusted_modules)

    def find_class(self, module: str, name: str) -> Any:
        """Find what a pickle names."""
        if (module, name) == ("builtins", "getattr"):
            return _method
        if name in _NAMED.get(module, ()):
            return super().find_class(module, name)
        if any(_inside(module, trusted) for trusted in self._trusted):
            found = super().find_class(module, name)
            if any(_inside(getattr(found, "__module__", ""), own) for own in self._trusted):
                return found
        elif _is_model_package(module):
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise _Refused(f"{module}.{name}")


def _inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _is_model_package(module: str) -> bool:
    parts = module.split(".")
    if len(parts) < 2 or "datasets" in parts:
        return False
    return parts[1] in _PACKAGES.get(parts[0], ())


def _method(owner: Any, name: Any) -> Any:
    """Stand in for `getattr`, by which pickles name bound methods: nothing but those of River.

    (And two that River's models keep.) An attribute that was put into an object by the pickle
    itself is none.
    """
    if owner is str and name == "lower":
        return str.lower
    kind = owner if isinstance(owner, type) else type(owner)
    of_river = _is_model_package(kind.__module__) and not str(name).startswith("__")
    if type(name) is str and (of_river or (kind is Random and name == "gauss")):
        function = getattr(kind, name, None)
        if isinstance(function, MethodType):
            return function
        if isinstance(function, FunctionType) and owner is not kind:
            return MethodType(function, owner)
    raise _Refused(f"{getattr(kind, '__qualname__', kind)}.{name}")
