"""The classes that can be written as plain data, and the attributes of each.

The state of an object of such a class is exactly these attributes. One that has another attribute
(a later River may add one), and any object of a class that is not listed, is pickled instead: an
unknown attribute is never left out.

`?name` may be missing: River makes it in some settings only, or in some releases only. `-name` is
never written: it is computed from the others when it is first needed.
"""

from collections.abc import Callable
from operator import attrgetter
from types import ModuleType
from typing import Any, Final, NamedTuple

from river import (
    compose,
    dummy,
    feature_extraction,
    feature_selection,
    linear_model,
    multiclass,
    naive_bayes,
    optim,
    preprocessing,
    proba,
    stats,
    utils,
)
from river._river_rust import stats as rust_stats
from river.preprocessing import impute

_GLM: Final = (
    "optimizer loss l2 l1 intercept_init intercept intercept_lr clip_gradient initializer"
    " _weights _y_name ?max_cum_l1 ?cum_l1"
)
_PA: Final = "C mode calc_tau learn_intercept weights intercept loss"
_OPTIMIZER: Final = "lr n_iterations"
_TARGET: Final = "regressor func inverse_func"

_TABLE: Final[tuple[tuple[ModuleType, dict[str, str]], ...]] = (
    (
        linear_model,
        {
            "LinearRegression": _GLM,
            "LogisticRegression": _GLM,
            "Perceptron": _GLM,
            "PAClassifier": _PA,
            "PARegressor": f"{_PA} eps",
            "ALMAClassifier": "p alpha B C w k",
            "AdPredictor": "beta prior_probability epsilon means variances",
            "SoftmaxRegression": "optimizer optimizers loss l2 weights",
            "BayesianLinearRegression": (
                "alpha beta smoothing _idx _ss_arr _ss_inv_arr _eta_arr _m_arr _m_dirty _cap _n"
            ),
        },
    ),
    (
        optim,
        {
            "SGD": _OPTIMIZER,
            "Momentum": f"{_OPTIMIZER} rho s",
            "NesterovMomentum": f"{_OPTIMIZER} rho s",
            "AdaGrad": f"{_OPTIMIZER} eps g2",
            "AdaDelta": f"{_OPTIMIZER} rho eps g2 s2",
            "RMSProp": f"{_OPTIMIZER} rho eps g2",
            "Adam": f"{_OPTIMIZER} beta_1 beta_2 eps m v",
            "AdaMax": f"{_OPTIMIZER} beta_1 beta_2 eps m u",
            "AdaBound": f"{_OPTIMIZER} base_lr final_lr beta_1 beta_2 eps gamma m v",
            "AMSGrad": f"{_OPTIMIZER} beta_1 beta_2 eps correct_bias m v v_hat",
            "Nadam": f"{_OPTIMIZER} beta_1 beta_2 eps m v",
            "FTRLProximal": "alpha beta l1 l2 z n n_iterations",
            "Newton": f"{_OPTIMIZER} eps _idx _H_inv _cap",
            "Averager": "optimizer start avg_w n_iterations",
        },
    ),
    (
        optim.losses,
        {
            "Absolute": "",
            "BinaryFocalLoss": "gamma beta",
            "Cauchy": "C",
            "CrossEntropy": "class_weight",
            "EpsilonInsensitiveHinge": "eps",
            "Hinge": "threshold",
            "Huber": "epsilon",
            "Log": "weight_pos weight_neg",
            "Poisson": "",
            "Quantile": "alpha",
            "Squared": "",
        },
    ),
    (
        optim.schedulers,
        {
            "Constant": "learning_rate",
            "InverseScaling": "learning_rate power",
            "Optimal": "loss alpha t0",
        },
    ),
    (optim.initializers, {"Constant": "value", "Zeros": "value", "Normal": "mu sigma seed _rng"}),
    (
        naive_bayes,
        {
            "GaussianNB": "class_counts gaussians",
            "BernoulliNB": "alpha true_threshold class_counts feature_counts",
            "MultinomialNB": "alpha class_counts feature_counts class_totals",
            "ComplementNB": "alpha class_counts feature_counts feature_totals class_totals",
        },
    ),
    (
        preprocessing,
        {
            "StandardScaler": "with_std ?window_size counts means vars",
            "MinMaxScaler": "?window_size min max",
            "MaxAbsScaler": "?window_size abs_max",
            "RobustScaler": "with_centering with_scaling q_inf q_sup median iqr",
            "AdaptiveStandardScaler": "fading_factor vars means",
            "Normalizer": "order",
            "Binarizer": "threshold dtype",
            "OneHotEncoder": "drop_zeros drop_first categories values _zero_dict",
            "OrdinalEncoder": (
                "unknown_value none_value categories values _reserved_category_codes"
            ),
            "FeatureHasher": "n_features seed alternate_sign _seed",
            "PreviousImputer": "_latest",
            "StatImputer": "imputers stats",
            "PredClipper": "regressor y_min y_max",
            "TargetStandardScaler": f"{_TARGET} var",
            "TargetMinMaxScaler": f"{_TARGET} min max",
        },
    ),
    (impute, {"Constant": "value"}),
    (
        compose,
        {
            "Pipeline": "steps -_plan -_inference_transformers -_last_step_cached"
            " -_last_step_params",
            "TransformerUnion": "transformers",
            "TransformerProduct": "transformers",
            "Select": "keys",
            "Discard": "keys",
            "SelectType": "types",
            "Renamer": "mapping",
            "Prefixer": "prefix",
            "Suffixer": "suffix",
        },
    ),
    (
        feature_extraction,
        {"PolynomialExtender": "degree interaction_only include_bias bias_name"},
    ),
    (
        feature_selection,
        {
            "VarianceThreshold": "threshold min_samples variances",
            "SelectKBest": "k similarity similarities leaderboard use_abs",
        },
    ),
    (multiclass, {"OneVsRestClassifier": "classifier classifiers _y_name"}),
    (
        dummy,
        {
            "NoChangeClassifier": "last_class classes",
            "PriorClassifier": "counts n",
            "StatisticRegressor": "statistic",
        },
    ),
    (proba, {"Gaussian": "seed -_rng _var"}),
    (
        stats,
        {
            "AbsMax": "abs_max",
            "AutoCorr": "window lag pearson",
            "BayesianMean": "prior prior_weight _mean",
            "Count": "n",
            "Cov": "ddof mean_x mean_y cov",
            "EWMean": "fading_factor _ewmean",
            "EWVar": "fading_factor _ewvar",
            "Entropy": "fading_factor eps entropy n counter",
            "IQR": "q_inf q_sup _iqr _is_updated",
            "Kurtosis": "bias _kurtosis",
            "MAD": "_quantile _is_updated q median",
            "Max": "max",
            "Mean": "n _mean",
            "Min": "min",
            "Mode": "k counts",
            "PeakToPeak": "_ptp _is_updated",
            "PearsonCorr": "var_x var_y cov_xy",
            "Quantile": "_quantile _is_updated q",
            "RollingAbsMax": "window",
            "RollingIQR": "q_inf q_sup _rolling_iqr window_size_value _is_updated",
            "RollingMax": "window",
            "RollingMin": "window",
            "RollingMode": "window counts",
            "RollingPeakToPeak": "max min",
            "RollingQuantile": "_rolling_quantile q window_size_value _is_updated",
            "SEM": "ddof mean _S",
            "Shift": "amount fill_value buffer",
            "Skew": "bias _skew",
            "Sum": "sum",
            "Var": "ddof mean _S",
        },
    ),
    (utils, {"Rolling": "obj _window_size window", "SortedWindow": "data unsorted_window"}),
)

VECTOR: Final[type] = utils.VectorDict
OPAQUE: Final[dict[Any, str]] = {
    kind: f"{kind.__module__}:{kind.__qualname__}"
    for kind in vars(rust_stats).values()
    if isinstance(kind, type) and hasattr(kind, "__setstate__")
}
"""River's statistics in Rust: they return and accept their state as bytes, whose meaning only
the same River release is sure to know."""
MAKERS: Final[dict[tuple[type, str], Callable[[Any], Any]]] = {
    (multiclass.OneVsRestClassifier, "classifiers"): lambda model: model.classifier.clone(),
}
"""How a fresh object makes a new item for one of its dicts that has no factory of its own."""


class ClassEntry(NamedTuple):
    """A row of the table: one class."""

    name: str
    """`module:Class`"""
    kind: type
    taken: tuple[str, ...]
    """Attributes that every object has."""
    optional: tuple[str, ...]
    left_out: tuple[str, ...]
    seeded: bool
    """Draws random numbers, whose state is left out where no seed says what they have to be."""
    get: Callable[[Any], tuple[Any, ...]]
    """Reads all of `taken` at once."""


def _row(kind: type, words: list[str]) -> ClassEntry:
    taken = tuple(word for word in words if word[0] not in "?-")
    return ClassEntry(
        name=f"{kind.__module__}:{kind.__qualname__}",
        kind=kind,
        taken=taken,
        optional=tuple(word[1:] for word in words if word[0] == "?"),
        left_out=tuple(word[1:] for word in words if word[0] == "-"),
        seeded="-_rng" in words,
        get=_getter(taken),
    )


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)  # as fast as attributes can be read
    if not names:
        return lambda _obj: ()
    (name,) = names
    return lambda obj: (getattr(obj, name),)


ROWS: Final[dict[type, ClassEntry]] = {
    kind: _row(kind, words.split())
    for module, classes in _TABLE
    for name, words in classes.items()
    if (kind := getattr(module, name, None)) is not None  # some are missing in older releases
}
BY_NAME: Final[dict[str, ClassEntry]] = {row.name: row for row in ROWS.values()}
