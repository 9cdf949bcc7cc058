"""`evaluate`, `summary` and `check`: figures against scikit-learn's, by hand, and by models with known faults."""

import json

import numpy as np
import pytest
from people import fails
from sklearn import metrics

import retrograde as rg
from retrograde import nn
from retrograde.cli import main
from retrograde.cli.predicting import load_table_model, read_for_model
from retrograde.cli.scores import calibration_error, outputs


def answer(capsys, *arguments, code=0):
    """The one JSON object on stdout."""
    assert main([*map(str, arguments), "--json"]) == code
    (line,) = capsys.readouterr().out.splitlines()
    return json.loads(line)


def predicted(model, table):
    """The network's output for the table, and the table's own values."""
    net, target, preprocessor = load_table_model(str(model))
    read = read_for_model(str(table), target, preprocessor)
    return target, outputs(net, preprocessor.transform(preprocessor.read(read))), target.values(read.columns[target.name])


def test_evaluate_classes_as_scikit_learn_does(trained, capsys):
    folder, _ = trained
    model, table = folder / "buys.safetensors", folder / "people.csv"
    found = answer(capsys, "evaluate", model, table, "--metric", "roc_auc", "--metric", "f1_macro")
    target, output, values = predicted(model, table)
    z = output.astype(np.float64)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    truth, labels = target.encode(values), p.argmax(1)
    report = metrics.classification_report(truth, labels, output_dict=True, target_names=target.classes)
    assert found["rows"] == 240
    assert found["accuracy"] == report["accuracy"]
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, labels))
    assert found["cross_entropy"] == pytest.approx(metrics.log_loss(truth, p))
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, z[:, 1] - z[:, 0]))
    assert found["f1_macro"] == pytest.approx(report["macro avg"]["f1-score"])
    assert found["confusion"] == metrics.confusion_matrix(truth, labels).tolist()
    for each in found["classes"]:
        for name, theirs in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score"), ("rows", "support")):
            assert each[name] == pytest.approx(report[each["class"]][theirs])
    assert found["baseline_accuracy"] == np.mean(values == "no")


def test_evaluate_numbers_as_scikit_learn_does(trained, capsys):
    folder, _ = trained
    model, table = folder / "spend.safetensors", folder / "people.csv"
    found = answer(capsys, "evaluate", model, table, "--metric", "mse", "--metric", "explained_variance")
    target, output, values = predicted(model, table)
    guess = output[:, 0].astype(np.float64) * target.scale + target.mean
    assert found["r2"] == pytest.approx(metrics.r2_score(values, guess))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(values, guess))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(values, guess))
    assert found["median_error"] == pytest.approx(metrics.median_absolute_error(values, guess))
    assert found["largest_error"] == pytest.approx(metrics.max_error(values, guess))
    assert found["mse"] == pytest.approx(metrics.mean_squared_error(values, guess))
    assert found["explained_variance"] == pytest.approx(metrics.explained_variance_score(values, guess))
    assert found["baseline_rmse"] == pytest.approx(np.sqrt(np.mean((values - target.mean) ** 2)))


def test_evaluate_tells_people_the_same(trained, capsys):
    folder, _ = trained
    assert main(["evaluate", str(folder / "buys.safetensors"), str(folder / "people.csv")]) == 0
    text = capsys.readouterr().out
    for words in ("on 240 rows", "calibration error", "by always guessing no", "precision", "true \\ predicted"):
        assert words in text


def test_evaluate_takes_the_rows_with_answers(trained, tmp_path, capsys):
    folder, _ = trained
    header, *rows = (folder / "people.csv").read_text().splitlines()
    place = header.split(",").index("buys")
    without = [",".join("" if i == place else word for i, word in enumerate(row.split(","))) for row in rows[:40]]
    (tmp_path / "t.csv").write_text("\n".join([header, *without, *rows[40:]]))
    assert answer(capsys, "evaluate", folder / "buys.safetensors", tmp_path / "t.csv")["rows"] == 200
    (tmp_path / "none.csv").write_text("\n".join([header, *without]))
    assert "no row has a value of 'buys'" in fails(capsys, "evaluate", folder / "buys.safetensors", tmp_path / "none.csv")
    assert "no metric is called" in fails(
        capsys, "evaluate", folder / "buys.safetensors", folder / "people.csv", "--metric", "f2"
    )


@pytest.mark.parametrize("known", [{}, {"guess": "maybe"}])
def test_a_file_that_does_not_know_what_was_frequent(trained, tmp_path, capsys, known):
    folder, _ = trained
    net, extra = rg.load(folder / "buys.safetensors")
    rg.save(tmp_path / "m", net, extra={name: extra[name] for name in ("kind", "target", "preprocessor")} | known)
    found = answer(capsys, "evaluate", tmp_path / "m", folder / "people.csv")
    assert found["baseline_accuracy"] == max(sum(row) for row in found["confusion"]) / 240
    assert answer(capsys, "summary", tmp_path / "m")["target"] == "buys"


def test_calibration_error_by_hand():
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.45, 0.55]])
    codes = np.array([0, 1, 1, 1])
    # bins of 0.9 (twice, half right), 0.6 and 0.55 (both right; (8/15, 9/15] holds both)
    assert calibration_error(p, codes) == pytest.approx((2 * abs(0.5 - 0.9) + 2 * abs(1 - 0.575)) / 4)


def test_summary_counts_by_hand(trained, capsys):
    folder, _ = trained
    found = answer(capsys, "summary", folder / "buys.safetensors", "--batch-size", "10")
    assert [layer["layer"] for layer in found["layers"]] == ["Linear", "ReLU", "Linear"]
    assert [layer["output"] for layer in found["layers"]] == [[10, 16], [10, 16], [10, 2]]
    assert [layer["parameters"] for layer in found["layers"]] == [8 * 16 + 16, 0, 16 * 2 + 2]
    assert found["bytes"] == 4 * found["parameters"] == 4 * 178
    assert found["layers"][2]["flops"] == 10 * 2 * (2 * 16 + 1)  # products, and the bias
    assert found["held_bytes"] == 4 * 10 * 16  # what comes out of the ReLU
    assert (found["target"], found["trained"]["rows"], found["options"]["optimizer"]) == ("buys", 192, "adam")
    assert main(["summary", str(folder / "buys.safetensors")]) == 0
    text = capsys.readouterr().out
    for words in ("32 × 16", "178 in 712 bytes", "buys: classification, 2 classes: no, yes", "city (4), member (2)"):
        assert words in text


def test_summary_of_images_needs_their_shape(tmp_path, capsys):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 4 * 4, 3)).init(0)
    rg.save(tmp_path / "m", net)
    found = answer(capsys, "summary", tmp_path / "m", "--input", "1,6,6")
    assert [layer["output"] for layer in found["layers"]] == [[32, 2, 4, 4], [32, 2, 4, 4], [32, 32], [32, 3]]
    assert "give --input" in fails(capsys, "summary", tmp_path / "m")
    assert "it is '1,x'" in fails(capsys, "summary", tmp_path / "m", "--input", "1,x")
    assert "does not take a batch" in fails(capsys, "summary", tmp_path / "m", "--input", "1,9,9")
    assert answer(capsys, "check", tmp_path / "m", "--input", "1,6,6")["ok"]


@pytest.mark.parametrize("net, shape", [
    (nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(12, 2)).init(0), "4"),
    (nn.Sequential(nn.Linear(3, 2)).init(0, np.float64), ""),
])  # fmt: skip
def test_check_and_summary_draw_points_that_the_network_takes(net, shape, tmp_path, capsys):
    """Tokens for an embedding, and the network's own precision."""
    rg.save(tmp_path / "m", net)
    assert answer(capsys, "check", tmp_path / "m", "--input", shape)["ok"]
    assert answer(capsys, "summary", tmp_path / "m", "--input", shape)["layers"][-1]["output"] == [32, 2]


def test_check_finds_nothing_wrong_with_a_trained_model(trained, capsys):
    folder, _ = trained
    for model in ("buys", "spend"):
        found = answer(capsys, "check", folder / f"{model}.safetensors", folder / "people.csv")
        assert found["ok"]
        assert sum(op["compared"] for op in found["operations"]) > 100
        assert max(op["error"] for op in found["operations"]) < 1e-6
    assert main(["check", str(folder / "spend.safetensors")]) == 0
    assert "the gradient is right" in capsys.readouterr().out


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda w: np.full_like(w, np.nan), "NaN"),
        (lambda w: np.where(np.arange(w.size).reshape(w.shape) == 3, np.inf, w), "infinite"),
        (np.zeros_like, "exactly 0"),
    ],
)
def test_check_finds_what_is_wrong(trained, tmp_path, capsys, damage, words):
    folder, _ = trained
    net, extra = rg.load(folder / "buys.safetensors")
    last = net.layers[2]
    damaged = net.replace(layers=(*net.layers[:2], last.replace(weight=damage(last.weight))))
    rg.save(tmp_path / "m", damaged, extra=extra)
    found = answer(capsys, "check", tmp_path / "m", folder / "people.csv", code=1)
    assert not found["ok"]
    assert any(words in line for line in found["findings"])
    assert main(["check", str(tmp_path / "m"), str(folder / "people.csv")]) == 1
    assert "something is wrong" in capsys.readouterr().out


def test_check_takes_a_table_with_a_tables_model_only(trained, tmp_path, capsys):
    folder, _ = trained
    rg.save(tmp_path / "m", nn.Sequential(nn.Linear(2, 2)).init(0))
    assert "check it without one" in fails(capsys, "check", tmp_path / "m", folder / "people.csv")
    assert "--rows must be at least 1" in fails(capsys, "check", tmp_path / "m", "--rows", "0")
