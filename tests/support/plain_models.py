"""River expressions whose models have a plain form: what the tests of codecs go through."""

import math
import random
from collections.abc import Iterator
from typing import Any

from millstream.core.models.river.expression import build
from millstream.core.models.river.kinds import river_learner
from millstream.core.models.river.learner import RiverLearner

SCALED = "preprocessing.StandardScaler() | "
LOGISTIC = f"{SCALED}linear_model.LogisticRegression"
LATER = " | linear_model.LogisticRegression()"
LINEAR = f"{SCALED}linear_model.LinearRegression"
NUMBERS = "(compose.SelectType(float) | preprocessing.StandardScaler())"

BINARY = [
    LOGISTIC + "()",
    LOGISTIC + "(optimizer=optim.SGD(optim.schedulers.InverseScaling(.1)), l2=.01)",
    LOGISTIC + "(optimizer=optim.SGD(optim.schedulers.Optimal(optim.losses.Log())), l1=.001)",
    LOGISTIC + "(loss=optim.losses.BinaryFocalLoss(), intercept_lr=0)",
    LOGISTIC + "(loss=optim.losses.Hinge(), clip_gradient=.1)",
    LOGISTIC + "(initializer=optim.initializers.Normal(seed=7))",
    *(
        LOGISTIC + f"(optimizer=optim.{optimizer})"
        for optimizer in (
            "Momentum()",
            "NesterovMomentum()",
            "AdaGrad()",
            "AdaDelta()",
            "RMSProp()",
            "Adam()",
            "AdaMax()",
            "AdaBound()",
            "AMSGrad()",
            "Nadam()",
            "FTRLProximal()",
            "Newton()",
            "Averager(optim.SGD(.01), 10)",
        )
    ),
    SCALED + "linear_model.Perceptron()",
    *(SCALED + f"linear_model.PAClassifier(mode={mode})" for mode in (0, 1, 2)),
    SCALED + "linear_model.ALMAClassifier()",
    "linear_model.AdPredictor()",
    *(
        f"preprocessing.{scaler} | linear_model.LogisticRegression()"
        for scaler in (
            "StandardScaler(with_std=False)",
            "StandardScaler(window_size=20)",
            "MinMaxScaler()",
            "MinMaxScaler(window_size=20)",
            "MaxAbsScaler()",
            "MaxAbsScaler(window_size=20)",
            "RobustScaler()",
            "AdaptiveStandardScaler()",
            "Normalizer()",
            "Binarizer(.3)",
            "Binarizer(.3, int)",
        )
    ),
    "feature_selection.VarianceThreshold(.05) | linear_model.LogisticRegression()",
    "feature_selection.SelectKBest(stats.PearsonCorr(), k=2) | linear_model.LogisticRegression()",
    "feature_extraction.PolynomialExtender(2) | linear_model.LogisticRegression()",
    "(preprocessing.MinMaxScaler() + (preprocessing.RobustScaler() | compose.Prefixer('r')))"
    + LATER,
    "(compose.Select('a') + (compose.Discard('a', 'b') | compose.Suffixer('s')))" + LATER,
    "compose.Renamer({'a': 'z'}) | linear_model.LogisticRegression()",
    "compose.TransformerProduct(compose.Select('a'), compose.Select('b', 'c'))" + LATER,
]
MULTICLASS = [
    *(f"naive_bayes.{kind}NB()" for kind in ("Gaussian", "Bernoulli", "Multinomial", "Complement")),
    "preprocessing.RobustScaler() | naive_bayes.GaussianNB()",
    SCALED + "linear_model.SoftmaxRegression()",
    SCALED + "linear_model.SoftmaxRegression(optimizer=optim.Adam(), l2=.1)",
    SCALED + "linear_model.SoftmaxRegression(optimizer=optim.Averager(optim.SGD(.1)))",
    SCALED + "multiclass.OneVsRestClassifier(linear_model.LogisticRegression())",
    "dummy.NoChangeClassifier()",
    "dummy.PriorClassifier()",
]
REGRESSION = [
    LINEAR + "(intercept_lr=.1)",
    *(
        LINEAR + f"(loss=optim.losses.{loss})"
        for loss in (
            "Absolute()",
            "Cauchy()",
            "EpsilonInsensitiveHinge()",
            "Huber()",
            "Poisson()",
            "Quantile()",
            "Squared()",
        )
    ),
    LINEAR + "(initializer=optim.initializers.Constant(.5))",
    SCALED + "linear_model.PARegressor()",
    "linear_model.BayesianLinearRegression()",
    "linear_model.BayesianLinearRegression(smoothing=.9)",
    "preprocessing.TargetStandardScaler(linear_model.LinearRegression())",
    "preprocessing.TargetMinMaxScaler(linear_model.LinearRegression())",
    "preprocessing.PredClipper(linear_model.LinearRegression(), 0, 1)",
    *(
        f"dummy.StatisticRegressor(stats.{statistic})"
        for statistic in (
            "AbsMax()",
            "AutoCorr(2)",
            "BayesianMean(1, 10)",
            "Count()",
            "EWMean(.2)",
            "EWVar(.2)",
            "Entropy()",
            "IQR()",
            "Kurtosis()",
            "MAD()",
            "Max()",
            "Mean()",
            "Min()",
            "Mode()",
            "PeakToPeak()",
            "Quantile(.3)",
            "RollingAbsMax(9)",
            "RollingIQR(9)",
            "RollingMax(9)",
            "RollingMin(9)",
            "RollingMode(9)",
            "RollingPeakToPeak(9)",
            "RollingQuantile(.3, 9)",
            "SEM()",
            "Shift(2)",
            "Skew()",
            "Sum()",
            "Var()",
        )
    ),
]
MIXED = [
    "preprocessing.OneHotEncoder() | linear_model.LogisticRegression()",
    "compose.Select('t') | preprocessing.OneHotEncoder({'t': {'x', 'y'}})" + LATER,
    "preprocessing.OrdinalEncoder() | linear_model.LogisticRegression()",
    "preprocessing.FeatureHasher(8, seed=1) | linear_model.LogisticRegression()",
    "preprocessing.FeatureHasher(8) | linear_model.LogisticRegression()",
    f"((compose.SelectType(str) | preprocessing.OneHotEncoder()) + {NUMBERS}){LATER}",
]
GAPS = [
    "preprocessing.StatImputer(('a', stats.Mean()), ('b', stats.Mode()), ('c', 0.0))" + LATER,
    "preprocessing.PreviousImputer() | compose.SelectType(float)" + LATER,
]
ALL = [*BINARY, *MULTICLASS, *REGRESSION, *MIXED, *GAPS]


def learner(expression: str) -> RiverLearner:
    return river_learner(build(expression))


def rows(expression: str, count: int, seed: int = 1) -> Iterator[tuple[dict[str, Any], Any]]:
    """Features and labels that the model can take; a fourth feature turns up late."""
    draw = random.Random(seed)
    for i in range(count):
        numbers = {name: draw.random() for name in ("a", "b", "c")}
        if i % 3 == 2 and expression in BINARY[:20] and "Newton" not in expression:
            numbers["late"] = draw.random() * 1e-5
        score = sum(numbers.values()) + draw.random() / 4
        features: dict[str, Any] = numbers
        if expression in MIXED:
            features = {**numbers, "t": draw.choice("wxyz")}
        if expression in GAPS and i % 4 == 3:
            features = {**numbers, draw.choice("abc"): None}
        if expression in REGRESSION:
            yield features, round(score * 8) / 4 if "Mode" in expression else score
        elif expression in MULTICLASS:
            yield features, ("low", "middle", "high")[min(2, math.floor(score))]
        else:
            yield features, score > 1.6
