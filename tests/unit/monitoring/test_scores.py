"""How predictions are scored."""

from millstream.monitoring.scores import Scores


def test_one_class_alone_has_no_curve() -> None:
    scores = Scores("classifier")
    answer = {"prediction": True, "probabilities": {"true": 0.9, "false": 0.1}}
    scores.judge(answer, truth=True)
    assert "ROCAUC" not in scores.result()
    scores.judge(answer, truth=False)
    assert scores.result()["ROCAUC"] == 0.5
