"""River expressions: what they may say, and that they cannot do anything else."""

import contextlib
import importlib
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import base, evaluate, linear_model, metrics, optim, preprocessing, tree
from river.datasets import Phishing

from millstream.core.models.river import expression
from millstream.core.models.river.expression import MODULES, build, public_names
from millstream.errors import SettingsError

GOOD = [
    "preprocessing.StandardScaler() | linear_model.LogisticRegression(optimizer=optim.SGD(.005))",
    "river.linear_model.LogisticRegression(l2=-0.5)",
    "(compose.Select('a') + compose.Discard('a', 'b')) | naive_bayes.GaussianNB()",
    "compose.SelectType(str) | preprocessing.OneHotEncoder() | tree.HoeffdingTreeClassifier()",
    "compose.Pipeline(('scale', preprocessing.StandardScaler()), linear_model.Perceptron())",
    "ensemble.ADWINBaggingClassifier(tree.HoeffdingTreeClassifier(), n_models=3, seed=42)",
    "ensemble.VotingClassifier([linear_model.Perceptron(), naive_bayes.GaussianNB()])",
    "ensemble.BaggingRegressor(tree.HoeffdingTreeRegressor(grace_period=10000000), 99, 4294967295)",
    "ensemble.VotingClassifier(utils.expand_param_grid(linear_model.Perceptron(), {'l2': [0, 1]}))",
    "linear_model.LogisticRegression(loss=optim.losses.Log(weight_pos=2), l2=1e-3)",
    "tree.HoeffdingTreeRegressor(splitter=tree.splitter.EBSTSplitter())",
    "feature_extraction.Agg(on='a', by=['b'], how=stats.Mean()) | linear_model.LinearRegression()",
    "anomaly.QuantileFilter(anomaly.HalfSpaceTrees(seed=42), q=0.95)",
    "drift.DriftRetrainingClassifier(naive_bayes.GaussianNB(), drift.binary.DDM())",
    (
        "feature_extraction.BagOfWords(on='text', ngram_range=(1, 2), stop_words={'the'}) | "
        "naive_bayes.MultinomialNB()"
    ),
    (
        "model_selection.BanditClassifier([linear_model.Perceptron(), naive_bayes.GaussianNB()], "
        "metric=metrics.Accuracy(), policy=bandit.EpsilonGreedy(epsilon=0.1, seed=1))"
    ),
    "preprocessing.StandardScaler()\n| linear_model.LogisticRegression(\n  l2=0.1,\n)\n",
]

HOSTILE = {
    # Code that Python would run.
    "__import__('os').system('true')": "attributes of an object are not read",
    "__import__('os')": "River has no class of that name",
    "eval('1')": "River has no class of that name",
    "open('/etc/passwd')": "River has no class of that name",
    "int('9')": "River has no class of that name",
    "import os": "is not an expression",
    "x = 1": "is not an expression",
    "stats.Mean(); stats.Mean()": "is not an expression",
    "(lambda: linear_model.Perceptron())()": "only River's classes can be called",
    "lambda x: x": "a lambda",
    "compose.FuncTransformer(lambda x: x) | linear_model.Perceptron()": "a lambda",
    "compose.FuncTransformer(print) | linear_model.Perceptron()": "River has no class",
    "[x for x in (1, 2)]": "a comprehension",
    "{x for x in (1, 2)}": "a comprehension",
    "{x: x for x in (1, 2)}": "a comprehension",
    "linear_model.Perceptron(x for x in (1, 2))": "a comprehension",
    "f'{linear_model}'": "an f-string",
    "linear_model.Perceptron(l2=(x := 1))": "an assignment",
    "linear_model.Perceptron() if True else 1": "a condition",
    "linear_model.Perceptron() or 1": "a condition",
    "not linear_model.Perceptron()": "only a number can have a sign",
    "1 < 2": "a comparison",
    "await linear_model.Perceptron()": "an await",
    "(yield)": "a yield",
    # Ways out of River.
    "preprocessing.base.sys": "no module of models preprocessing.base",
    "utils.math.math.os.system('true')": "no module of models",
    "feature_extraction.vectorize.itertools.count()": "no module of models",
    "linear_model.LogisticRegression.__init__": "attributes of a class are not read",
    "linear_model.LogisticRegression.__mro__[1]": "a subscript",
    "linear_model.LogisticRegression().__class__": "attributes of an object are not read",
    "linear_model.LogisticRegression().learn_one({}, True)": "attributes of an object",
    "linear_model.__builtins__": "has no class __builtins__",
    "linear_model.__loader__.load_module('os')": "no module of models linear_model.__loader__",
    "().__class__.__bases__[0].__subclasses__()": "attributes of an object",
    "''.join(['a'])": "attributes of an object",
    "river.river.river": "no module of models",
    "river": "River has no class of that name",
    "linear_model['Perceptron']": "a subscript",
    # What in River reads files, uses the network, or runs other code.
    "datasets.Phishing()": "no module of models datasets",
    "river.datasets.CreditCard()": "no module of models datasets",
    "stream.iter_csv('/etc/passwd')": "no module of models stream",
    "stream.Cache('/tmp')": "no module of models stream",
    "evaluate.progressive_val_score()": "no module of models evaluate",
    "checks.check_estimator(linear_model.Perceptron())": "no module of models checks",
    "compat.SKL2RiverClassifier(1, [1])": "no module of models compat",
    "bandit.evaluate()": "has no class evaluate",
    "bandit.datasets.NewsArticles()": "no module of models bandit.datasets",
    "utils.log_method_calls()": "has no class log_method_calls",
    # Too much of a good thing.
    "2 ** 10 ** 10": "only | and +",
    "forest.ARFClassifier(n_models=10 ** 9)": "only | and +",
    "[0] * 10 ** 9": "only | and +",
    "'a' + 'b'": "only models can be joined",
    "linear_model.Perceptron(l2=" + "9" * 40 + ")": "l2 may be 4,294,967,296 at most",
    "9" * 40: "whole numbers go up to 4,294,967,296",
    "ensemble.BaggingClassifier(linear_model.Perceptron(), n_models=1000000000)": (
        "n_models may be 1,000 at most"
    ),
    "ensemble.BaggingClassifier(linear_model.Perceptron(), 1000000000)": "n_models may be",
    "ensemble.BaggingClassifier(linear_model.Perceptron(), n_models=+1001)": (
        "n_models may be 1,000 at most"
    ),
    "cluster.KMeans(n_clusters=100001)": "n_clusters may be 100,000 at most",
    "anomaly.HalfSpaceTrees(height=60)": "height may be 20 at most",
    "multiclass.OutputCodeClassifier(linear_model.Perceptron(), 40, 'exact')": "code_size may be",
    "time_series.SNARIMAX(p=1, d=100000000, q=1)": "d may be 1,000 at most",
    "ensemble.BaggingClassifier(ensemble.BaggingClassifier(linear_model.Perceptron(), 200), 200)": (
        "more than 10,000 models"
    ),
    # Ten models each by default, inside each other.
    "ensemble.BaggingClassifier(" * 6 + "linear_model.Perceptron()" + ")" * 6: "more than 10,000",
    # Each keeps a copy of what it is given.
    "drift.DriftRetrainingClassifier(" * 20 + "linear_model.Perceptron()" + ")" * 20: (
        "models inside models, more than 10 deep"
    ),
    "ensemble.VotingClassifier(utils.expand_param_grid(linear_model.Perceptron(), {'l2': "
    + str([0.1] * 200)
    + ", 'clip_gradient': [1, 2, 3]}))": "a grid of more than 500 models",
    "ensemble.VotingClassifier(utils.expand_param_grid(ensemble.BaggingClassifier("
    "linear_model.Perceptron()), {'n_models': [1, 1000000000]}))": "n_models may be 1,000",
    "linear_model.Perceptron(l2=" + "9" * 5000 + ")": "is not an expression",
    "compose.Select('" + "a" * 2000 + "')": "text of more than",
    "[" + "1," * 2000 + "]": "more than 1000 items",
    "(" * 5000 + ")" * 5000: "is not an expression",
    "[" * 90 + "]" * 90: "nested more than",
    "-" * 90 + "1": "nested more than",
    "1," * 9000: "longer than",
    "forest.ARFClassifier(*[1])": "* is not part",
    "forest.ARFClassifier(**{'seed': 1})": "** is not part",
    "{**{}}": "** is not part",
    "{[]: 1}": "unhashable",
    "1j": "complex",
    "b'bytes'": "bytes",
    "...": "ellipsis",
    "\0": "is not an expression",
    "": "is empty",
    " \n": "is empty",
}

MISTAKES = {
    "linear_model.LogisticRegression": "write LogisticRegression() with parentheses",
    "preprocessing.StandardScaler | linear_model.Perceptron()": "write StandardScaler() with",
    "LogisticRegression()": "write linear_model.LogisticRegression",
    "linear_model": "write linear_model. and the name of a class",
    "optim.losses": "a module is not a model",
    "linear_model.LogisticRegresion()": "did you mean LogisticRegression?",
    "preprocesing.StandardScaler()": "did you mean preprocessing?",
    "linear_model.LogisticRegression(optimiser=1)": "did you mean optimizer?",
    "linear_model.LogisticRegression(1, 2, 3, 4, 5, 6, 7, 8, 9)": "River says TypeError",
    "ensemble.BaggingClassifier(3)": "River says AttributeError",
    "stats.Mean()": "is not a model but of type Mean",
    "42": "is not a model but of type int",
    "int": "is not a model",
    "preprocessing.StandardScaler(), linear_model.Perceptron()": "of type tuple",
}


@pytest.mark.parametrize("text", GOOD)
def test_an_expression_makes_what_river_itself_would_make(text: str) -> None:
    modules = {name: importlib.import_module(f"river.{name}") for name in MODULES}
    names = {name: module for name, module in modules.items() if "." not in name}
    # The texts above are ours; Python may evaluate them to see what they mean.
    expected = eval(f"({text})", {**names, "river": importlib.import_module("river.api")})  # noqa: S307 - see above
    assert repr(build(text)) == repr(expected)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:60]))
def test_a_hostile_expression_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^model\.river") as refusal:
        build(text)
    assert HOSTILE[text] in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_told_with_what_would_be_right(text: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        build(text)
    assert MISTAKES[text] in str(refusal.value)


def test_a_pipeline_from_an_expression_scores_as_river_documents_it() -> None:
    model = build(GOOD[0])
    assert isinstance(model, base.Classifier)
    accuracy = evaluate.progressive_val_score(Phishing(), model, metrics.Accuracy())
    by_hand = preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(0.005))
    assert accuracy.get() == pytest.approx(0.8872)
    assert accuracy.get() == (
        evaluate.progressive_val_score(Phishing(), by_hand, metrics.Accuracy()).get()
    )


def test_each_build_makes_a_model_of_its_own() -> None:
    text = "tree.HoeffdingTreeClassifier()"
    assert build(text) is not build(text)
    assert isinstance(build(text), tree.HoeffdingTreeClassifier)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_rivers_own_classes_can_be_named(module: str) -> None:
    names = public_names(module)
    assert names
    for name, member in names.items():
        assert not name.startswith("_")
        assert member.__module__.startswith("river.")
        assert inspect.isclass(member) or f"{module}.{name}" in expression.FUNCTIONS


def test_no_module_that_reads_files_or_the_network_is_listed() -> None:
    outside = {"datasets", "stream", "evaluate", "checks", "compat", "base", "api"}
    assert not {module for module in MODULES if outside & set(module.split("."))}


@given(st.text(max_size=60))
def test_whatever_is_written_makes_a_model_or_is_refused(text: str) -> None:
    with contextlib.suppress(SettingsError):  # anything else that is raised fails the test
        assert isinstance(build(text), base.Estimator)


def test_an_expression_is_parsed_once_however_often_its_model_is_made() -> None:
    """Two threads that parse at the same time may fail in CPython 3.11; snapshots have a thread."""
    text = "naive_bayes.GaussianNB()  # of this test alone"
    first = build(text)
    before = expression._parsed.cache_info()
    again = build(text)
    after = expression._parsed.cache_info()
    assert (after.hits, after.misses) == (before.hits + 1, before.misses)
    assert type(again) is type(first)
    assert again is not first
