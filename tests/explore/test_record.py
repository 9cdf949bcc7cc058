"""Records of the toy of the textbooks, of networks as layers and as NumPy code: against closed forms and each other."""

import json

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn
from retrograde.errors import DifferentiationError, ShapeError
from retrograde.nn.losses import cross_entropy, mse

B, W, X, Y = (1.0, 2.0, -3.0, 0.4), (0.1, -0.4, 2.0, 3.0), 2.3, 2.0


def toy(p, x, y):
    b, w = p["b"], p["w"]
    f0 = b[0] + w[0] * x
    h1 = np.sin(f0)
    f1 = b[1] + w[1] * h1
    h2 = np.exp(f1)
    f2 = b[2] + w[2] * h2
    h3 = np.cos(f2)
    f3 = b[3] + w[3] * h3
    return (f3 - y) ** 2


def closed_forms():
    """Every quantity of the toy, by hand."""
    v = {"f0": B[0] + W[0] * X}
    v["h1"] = np.sin(v["f0"])
    v["f1"] = B[1] + W[1] * v["h1"]
    v["h2"] = np.exp(v["f1"])
    v["f2"] = B[2] + W[2] * v["h2"]
    v["h3"] = np.cos(v["f2"])
    v["f3"] = B[3] + W[3] * v["h3"]
    d = {"f3": 2 * (v["f3"] - Y)}
    d["h3"] = d["f3"] * W[3]
    d["f2"] = -d["h3"] * np.sin(v["f2"])
    d["h2"] = d["f2"] * W[2]
    d["f1"] = d["h2"] * np.exp(v["f1"])
    d["h1"] = d["f1"] * W[1]
    d["f0"] = d["h1"] * np.cos(v["f0"])
    before = [X, v["h1"], v["h2"], v["h3"]]
    for k in range(4):
        d[f"b{k}"], d[f"w{k}"] = d[f"f{k}"], d[f"f{k}"] * before[k]
    return v, d


@pytest.fixture
def record():
    return rg.explore(toy)({"b": np.array(B), "w": np.array(W)}, X, Y)


def test_the_toy_has_the_textbooks_steps_and_numbers(record):
    values, derivatives = closed_forms()
    assert [step.name for step in record.steps] == ["f0", "h1", "f1", "h2", "f2", "h3", "f3", "l"]
    assert {p.name for p in record.parameters} == {f"{n}{k}" for n in "bw" for k in range(4)}
    for name, value in values.items():
        assert abs(record[name].value - value) <= 1e-12 * abs(value), name
    for name, derivative in derivatives.items():
        assert abs(record[name].cotangent - derivative) <= 1e-12 * abs(derivative), name
    assert record.loss == pytest.approx((values["f3"] - Y) ** 2, rel=1e-12)
    np.testing.assert_array_equal(record["b"].cotangent, [record[f"b{k}"].cotangent for k in range(4)])


def test_the_toy_prints_as_the_textbook_prints_it(record):
    printed = [line.split() for line in str(record).splitlines()]
    numbers = {line[0]: line[-1] for line in printed if len(line) > 2}
    for name, number in {
        "f0": "1.230", "h1": "0.942", "f1": "1.623", "h2": "5.068", "f2": "7.137", "h3": "0.657", "f3": "2.372", "l": "0.139",
        "dl/df3": "0.745", "dl/dh3": "2.234", "dl/df2": "-1.683", "dl/dh2": "-3.366", "dl/df1": "-17.060", "dl/dh1": "6.824",
        "dl/df0": "2.281", "dl/db0": "2.281", "dl/dw0": "5.246", "dl/db1": "-17.060", "dl/dw1": "-16.079", "dl/db2": "-1.683",
        "dl/dw2": "-8.530", "dl/db3": "0.745", "dl/dw3": "0.489",
    }.items():  # fmt: skip
        assert numbers[name] == number, name


def test_formulas_and_local_derivatives_of_the_toy(record):
    assert str(record["f2"].formula) == "b2 + w2 · h2"
    assert record["h2"].formula.tex == "e^{f_1}"
    assert str(record["f2"].backward) == "-dl/dh3 · sin(f2)"
    assert str(record["h3"].local["f2"]) == "-sin(f2)"
    assert {name: str(f) for name, f in record["f2"].local.items()} == {"h2": "w2", "w2": "h2", "b2": "1"}
    assert str(record["h2"].local["f1"]) == "h2"  # the exponential is its own derivative, and is used again
    assert record["f2"].jacobian == W[2]
    assert record["h3"].jacobian == pytest.approx(-np.sin(record["f2"].value), rel=1e-15)
    file, line, text = record["h3"].source
    assert file == __file__ and line > 0 and text == "h3 = np.cos(f2)"
    assert record["h3"].reads == ["f2"] and record["h3"].readers == ["f3"]


def test_the_boards_derivation_of_the_toy(record):
    tex = record.latex()
    assert tex.startswith("\\begin{aligned}") and tex.endswith("\\end{aligned}")
    assert (
        "\\frac{\\partial l}{\\partial f_2} &= \\frac{\\partial h_3}{\\partial f_2} \\frac{\\partial l}{\\partial h_3} "
        "= -\\frac{\\partial l}{\\partial h_3} \\cdot \\sin(f_2) = -1.683"
    ) in tex
    assert tex.count("{") == tex.count("}")
    with pytest.raises(DifferentiationError, match='form="graph"'):
        record.latex("matrix")
    with pytest.raises(ValueError, match="it is 'board'"):
        record.latex("board")


def test_reuse_in_the_toy(record):
    """Written out, dl/dw_k takes 7, 5, 3, 1 multiplications and dl/db_k one less each; shared, ten in all."""
    reuse = record.reuse()
    assert reuse.by_parameter == {"w0": 7, "b0": 6, "w1": 5, "b1": 4, "w2": 3, "b2": 2, "w3": 1, "b3": 0}
    assert (reuse.naive, reuse.shared, reuse.saved) == (28, 10, 18)
    assert sorted(reuse.uses["dl/df1"]) == ["dl/db1", "dl/dh1", "dl/dw1"]


def network(widths, seed=3, dtype=np.float64):
    rng = np.random.default_rng(seed)
    layers = []
    for i, o in zip(widths, widths[1:]):
        layers += [nn.ReLU()] * bool(layers) + [nn.Linear(i, o)]
    net = nn.Sequential(*layers).init(seed, dtype)
    x = rng.normal(size=(6, widths[0])).astype(dtype)
    return net, x, rng.normal(size=(6, widths[-1])).astype(dtype)


def plain(phi, x, y):
    beta, omega = phi
    h = x
    for b, w in zip(beta, omega):
        f = h @ w.T + b
        h = np.maximum(f, 0)
    return np.mean(np.square(f - y))


def columns(phi, x, y):
    betas, omegas = phi
    h, f = [x], []
    for k in range(len(betas)):
        f.append(betas[k] + omegas[k] @ h[k])
        if k < len(betas) - 1:
            h.append(np.maximum(f[k], 0))
    return np.mean(np.square(f[-1] - y))


def test_layers_and_plain_numpy_agree_step_by_step():
    net, x, y = network((3, 4, 2, 3, 2))
    of_layers = rg.explore(lambda net, x, y: mse(net(x), y))(net, x, y)
    phi = [layer.bias for layer in net[::2]], [layer.weight for layer in net[::2]]
    of_code = rg.explore(plain)(phi, x, y)
    names = ["f0", "h1", "f1", "h2", "f2", "h3", "f3", "l"]
    assert [s.name for s in of_layers.steps] == [s.name for s in of_code.steps] == names
    for a, b in zip(of_layers.steps, of_code.steps):
        np.testing.assert_array_equal(a.value, b.value)
        np.testing.assert_array_equal(a.cotangent, b.cotangent)
    for k in range(4):
        np.testing.assert_array_equal(of_layers[f"Ω{k}"].cotangent, of_code[f"omega{k}"].cotangent)
        np.testing.assert_array_equal(of_layers[f"β{k}"].cotangent, of_code[f"beta{k}"].cotangent)
    assert of_layers["h0"] is of_layers["x"] and of_code["h0"] is of_code["x"]
    columnwise = rg.explore(columns)(([b[:, None] for b in phi[0]], phi[1]), x.T, y.T)
    assert [s.name for s in columnwise.steps] == names
    for a, b in zip(of_layers.steps, columnwise.steps):
        np.testing.assert_allclose(a.value, np.transpose(b.value), rtol=1e-12)
        np.testing.assert_allclose(a.cotangent, np.transpose(b.cotangent), rtol=1e-12, atol=1e-15)


def test_cotangents_are_those_of_grad():
    net, x, y = network((3, 5, 2))
    record = rg.explore(lambda net: mse(net(x), y))(net)
    gradient = rg.grad(lambda net: mse(net(x), y))(net)
    for k in range(2):
        np.testing.assert_array_equal(record[f"Ω{k}"].cotangent, gradient[2 * k].weight)
        np.testing.assert_array_equal(record[f"β{k}"].cotangent, gradient[2 * k].bias)


@pytest.mark.parametrize("widths", [(4, 3), (5, 6, 4, 3)])
def test_a_classifiers_record_agrees_with_backpropagation_by_hand(widths):
    net, x, _ = network(widths)
    labels = np.array([0, 2, 1, 1, 0, 2])
    record = rg.explore(lambda net, x, y: cross_entropy(net(x), y))(net, x, labels)
    hs, fs = [x], []
    for layer in net[::2]:
        fs.append(hs[-1] @ layer.weight.T + layer.bias)
        hs.append(fs[-1].clip(0.0))
    p = np.exp(fs[-1] - fs[-1].max(1, keepdims=True))
    df = (p / p.sum(1, keepdims=True) - np.eye(widths[-1])[labels]) / len(x)
    for k in reversed(range(len(fs))):
        np.testing.assert_allclose(record[f"f{k}"].value, fs[k], rtol=1e-12)
        np.testing.assert_allclose(record[f"f{k}"].cotangent, df, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(record[f"β{k}"].cotangent, df.sum(0), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(record[f"Ω{k}"].cotangent, df.T @ hs[k], rtol=1e-12, atol=1e-15)
        if k:
            np.testing.assert_allclose(record[f"h{k}"].cotangent, df @ net[2 * k].weight, rtol=1e-12, atol=1e-15)
            df = record[f"h{k}"].cotangent * (fs[k - 1] > 0)
    last = len(fs) - 1
    assert str(record[f"f{last}"].backward) == f"(softmax(f{last}) - onehot(y)) / 6"
    assert str(record["l"].formula) == f"mean(log Σ exp(f{last}) - f{last}[y])"


def test_weighted_cross_entropy_has_no_formula_of_the_plain_one():
    net, x, _ = network((3, 4, 3))
    y, weights = np.array([0, 2, 1, 1, 0, 2]), np.arange(1.0, 7.0)
    record = rg.explore(lambda net, x, labels: cross_entropy(net(x), labels, sample_weight=weights))(net, x, y)
    assert "softmax" not in str(record["f1"].backward)
    assert "onehot(labels)" in str(rg.explore(lambda net, x, labels: cross_entropy(net(x), labels))(net, x, y)["f1"].backward)


def test_jacobians_of_layers():
    net, x, y = network((3, 4, 2))
    record = rg.explore(lambda net, x, y: mse(net(x), y))(net, x, y)
    np.testing.assert_array_equal(record["f1"].jacobian_by("h1", example=2), net[2].weight.T)
    np.testing.assert_array_equal(record["h1"].jacobian_by("f0", example=1), np.diag(record["f0"].value[1] > 0))
    full = record["h1"].jacobian
    assert full.shape == (6, 4, 6, 4)
    np.testing.assert_array_equal(full.reshape(24, 24), np.diag(record["f0"].value.ravel() > 0))
    np.testing.assert_allclose(np.tensordot(full, record["h1"].cotangent, 2), record["f0"].cotangent, atol=1e-15)
    with pytest.raises(KeyError, match="f1 reads h1"):
        record["f1"].jacobian_by("f0")
    with pytest.raises(DifferentiationError, match="a parameter"):
        _ = record["Ω0"].jacobian
    with pytest.raises(ShapeError, match="no batches of one length"):
        record["l"].jacobian_by("f1", example=0)


def test_jacobians_by_parameters_are_those_of_one_example():
    net, x, y = network((3, 4, 2))
    record = rg.explore(lambda net, x, y: mse(net(x), y))(net, x, y)
    by_weight = record["f1"].jacobian_by("Ω1", example=1)  # df[i]/dΩ[i, j] = h[j]
    np.testing.assert_allclose(by_weight, np.einsum("ik,j->ijk", np.eye(2), record["h1"].value[1]), atol=1e-15)
    np.testing.assert_array_equal(by_weight, np.moveaxis(record["f1"].jacobian_by("Ω1"), 2, 0)[1])
    np.testing.assert_array_equal(record["f1"].jacobian_by("β1", example=-1), np.eye(2))
    for name in ("Ω1", "β1"):  # the gradient adds up over the examples
        rows = [np.tensordot(record["f1"].jacobian_by(name, i), record["f1"].cotangent[i], 1) for i in range(6)]
        np.testing.assert_allclose(sum(rows), record[name].cotangent, rtol=1e-12, atol=1e-15)


def test_a_weight_as_long_as_the_batch_is_no_batch():
    net, x, y = network((3, 6, 2))  # six units, six examples
    record = rg.explore(lambda net, x, y: mse(net(x), y))(net, x, y)
    assert record["f0"].jacobian_by("Ω0", example=4).shape == (6, 3, 6)
    np.testing.assert_array_equal(record["f0"].jacobian_by("β0", example=4), np.eye(6))
    assert record["h1"].jacobian_by("f0", example=4).shape == (6, 6)


def wave(p, x, y):
    f0 = p["w"] * x + p["b"]
    h1 = np.exp(1j * f0)
    f1 = p["c"] * h1
    return np.mean(np.abs(f1 - y) ** 2)


@pytest.fixture(scope="module")
def waves():
    rng = np.random.default_rng(0)
    p = {"w": np.float64(0.3), "b": 0.1 + 0.2j, "c": 1 - 2j}
    x, y = rng.normal(size=5), rng.normal(size=5) + 1j * rng.normal(size=5)
    return rg.explore(wave)(p, x, y), rg.grad(wave)(p, x, y), (p, x, y)


def test_complex_values_and_gradients(waves):
    record, gradient, (p, x, _) = waves
    f0 = p["w"] * x + p["b"]
    np.testing.assert_allclose(record["h1"].value, np.exp(1j * f0), rtol=1e-14)
    for name, expected in gradient.items():
        np.testing.assert_array_equal(record[name].gradient, expected)
    np.testing.assert_array_equal(record["c"].cotangent, np.conj(gradient["c"]))
    assert str(record["h1"].formula) == "exp(i · f0)" and str(record["h1"].backward) == "dl/df1 · c"
    np.testing.assert_allclose(record["h1"].cotangent, record["f1"].cotangent * p["c"], rtol=1e-14)  # as the formula says
    assert f"{gradient['c'].real:.3f} + {-gradient['c'].imag:.3f}i" in str(record)
    assert record.diagnose() == [] and record.reuse().shared > 0


def test_jacobians_of_complex_values(waves):
    record, _, (_, x, y) = waves
    f1 = record["f1"].value
    by_f1 = record["l"].jacobian_by("f1")
    np.testing.assert_allclose(by_f1, 2 / 5 * np.conj(f1 - y), rtol=1e-12)
    np.testing.assert_allclose(by_f1, record["f1"].cotangent, rtol=1e-12)
    np.testing.assert_allclose(record["f0"].jacobian_by("w"), x, rtol=1e-14)  # complex numbers by a real one
    with pytest.raises(DifferentiationError, match="holomorphic"):
        record["h1"].jacobian_by("f0")


def test_jacobians_of_one_example():
    net, x, y = network((3, 4, 2))
    phi = [layer.bias for layer in net[::2]], [layer.weight for layer in net[::2]]
    record = rg.explore(columns)(phi, x[0], y[0])
    np.testing.assert_array_equal(record["f1"].jacobian, net[2].weight.T)
    np.testing.assert_array_equal(record["f1"].jacobian_by("betas1"), np.eye(2))
    np.testing.assert_array_equal(record["h1"].jacobian, np.diag(record["f0"].value > 0))
    for step in record.steps[:-1]:
        (reader,) = step.readers
        found = np.tensordot(record[reader].jacobian_by(step.name), record[reader].cotangent, np.ndim(record[reader].value))
        np.testing.assert_allclose(found, step.cotangent, rtol=1e-12, atol=1e-15)
    assert str(record["f0"].backward).endswith("⊙ dl/dh1")
    assert str(record["h1"].backward) == "omegas1ᵀ dl/df1"
    assert str(record["omegas1"].backward) == "dl/df1 h1ᵀ"


def test_the_matrix_form_is_the_textbooks():
    net, x, y = network((3, 4, 2))
    tex = rg.explore(lambda net, x, y: mse(net(x), y))(net, x, y).latex()
    line = (
        "\\frac{\\partial l}{\\partial f_0} &= \\mathbb{1}[f_0 > 0] \\odot "
        "\\left( \\Omega_1^T \\frac{\\partial l}{\\partial f_1} \\right)"
    )
    assert line in tex and tex.count("\\partial f_0} &=") == 1
    assert "\\frac{\\partial l}{\\partial \\Omega_1} &= \\frac{\\partial l}{\\partial f_1} h_1^T" in tex
    assert "f_1 &= \\beta_1 + \\Omega_1 h_1" in tex


def test_a_value_with_several_readers_adds_its_cotangents_up():
    def residual(w, x):
        h = np.tanh(w @ x)
        g = h + np.sin(h)
        return np.sum(g * h)

    rng = np.random.default_rng(1)
    w, x = rng.normal(size=(3, 3)), rng.normal(size=3)
    record = rg.explore(residual)(w, x)
    assert record["h"].readers == ["g", "l"]
    np.testing.assert_array_equal(record["w"].cotangent, rg.grad(residual)(w, x))
    found = sum(np.tensordot(record[r].jacobian_by("h"), record[r].cotangent, np.ndim(record[r].value)) for r in ("g", "l"))
    np.testing.assert_allclose(found, record["h"].cotangent, rtol=1e-12)
    assert str(record["h"].backward).count(" + ") >= 1


def test_helpers_loops_and_closures_have_names():
    def layer(w, h):
        f = w @ h
        return np.tanh(f)

    x = np.array([0.5, -1.0])

    def loss(weights):
        h = x
        for w in weights:
            h = layer(w, h)
        return np.sum(h)

    record = rg.explore(loss)([np.eye(2), 2 * np.eye(2)])
    assert [s.name for s in record.steps][:3] == ["f0", "h1", "f1"]
    assert str(record["f0"].formula) == "weights0 x"


def test_control_flow_and_nested_transforms_are_steps():
    def loss(w, xs):
        h = rg.scan(lambda c, x: (np.tanh(w * c + x), c), np.zeros_like(w), xs)[0]
        g = rg.grad(lambda v: np.sum(v**3))(h)
        return np.sum(g)

    w, xs = np.array([0.3, 0.4]), np.ones((4, 2))
    record = rg.explore(loss)(w, xs)
    np.testing.assert_allclose(record["w"].cotangent, rg.grad(loss)(w, xs), rtol=1e-14)
    json.dumps(record.to_dict(), allow_nan=False)


def test_refusals_are_those_of_grad():
    with pytest.raises(DifferentiationError, match="0-d real loss"):
        rg.explore(lambda w: w * 2)(np.ones(3))
    with pytest.raises(DifferentiationError, match="`w`"):
        rg.explore(lambda w: np.sum(w * 2.0))(np.arange(3))
    with pytest.raises(KeyError, match="no step is called 'f9'"):
        rg.explore(lambda w: np.sum(w * 2.0))(np.ones(3))["f9"]


def test_a_loss_of_nothing_is_a_record_of_zeros():
    record = rg.explore(lambda w: np.float64(3.0))(np.ones(2))
    assert record.loss == 3.0 and record.steps == []
    np.testing.assert_array_equal(record["w"].cotangent, np.zeros(2))
    assert "no path leads from the loss to the parameter w" in record.diagnose()[0]
    assert "dl/dw" in str(record)
    same = rg.explore(lambda w: w)(np.float64(2.0))
    assert same["w"].cotangent == 1.0


def test_the_record_is_of_the_arrays_as_they_were():
    w = np.ones(3)
    record = rg.explore(lambda w: np.sum(w * w))(w)
    w[:] = 7.0
    np.testing.assert_array_equal(record["w"].value, np.ones(3))
    np.testing.assert_array_equal(record["l"].jacobian, 2 * np.ones(3))


def test_several_arguments_and_keywords():
    def loss(w, v, power=1.0):
        return np.sum(w * v) ** power

    record = rg.explore(loss, argnums=(0, 1))(np.ones(3), np.full(3, 2.0), power=2.0)
    assert [p.name for p in record.parameters] == ["w", "v"]
    np.testing.assert_array_equal(record["v"].cotangent, np.full(3, 12.0))


def test_inside_another_transform_there_is_nothing_to_show():
    with pytest.raises(DifferentiationError, match="outside of jit"):
        rg.jit(lambda w: rg.explore(lambda v: np.sum(v))(w).loss)(np.ones(2))


def test_formulas_have_the_parentheses_they_need():
    def loss(p, x):
        a = p * (x - (p - 1.0))
        b = np.negative(-a) / (a * x)
        c = np.sum(b) * np.log(p) ** 2.0
        return c * np.where(p > 0.0, p, -p)

    record = rg.explore(loss)(np.float64(2.0), np.float64(3.0))
    assert str(record["a"].formula) == "p · (x - (p - 1))"
    assert str(record["b"].formula) == "-(-a) / (a · x)"
    assert record["b"].formula.tex == "\\frac{-(-a)}{a \\cdot x}"
    assert str(record["c"].formula) == "b · (log p)²"
    assert str(record["l"].formula) == "c · (p > 0 ? p : -p)"


def test_a_formula_of_sums_says_what_is_summed():
    def loss(w, x):
        a = np.sum(w * x) * w
        return np.sum(a)

    assert str(rg.explore(loss)(np.ones(3), np.ones(3))["a"].formula) == "(Σ w · x) · w"


def test_a_part_that_is_read_is_no_whole():
    def loss(w):
        g = w * 2.0
        return np.sum(g[::2])

    record = rg.explore(loss)(np.ones(4))
    assert str(record["l"].formula) == "Σ g[0:4:2]"
    assert str(record["g"].backward) == "embed(1)"
    np.testing.assert_array_equal(record["g"].cotangent, [1, 0, 1, 0])


def test_written_formulas_compute_what_the_step_computes():
    """The plain text of elementwise formulas, read back as Python, gives the values and the cotangents."""

    def loss(p, x):
        f = p * np.sin(x) - x / p
        h = np.exp(f * 0.5) + f
        g = np.sqrt(h + 9.0) * np.tanh(f)
        return (g - x) ** 2

    record = rg.explore(loss)(np.float64(1.3), np.float64(0.7))
    names = {s.name: float(s.value) for s in record}
    names |= {f"d{n}": float(record[n].cotangent) for n in "pfhg"} | {"sin": np.sin, "exp": np.exp, "sqrt": np.sqrt}
    names |= {"tanh": np.tanh, "cos": np.cos}

    def read(formula):
        text = str(formula).replace("·", "*").replace("²", "**2").replace("^", "**").replace("dl/d", "d")
        return eval(text, names)

    for name in "fhgl":
        assert read(record[name].formula) == pytest.approx(float(record[name].value), rel=1e-5), name
    for name in "pfhg":
        assert read(record[name].backward) == pytest.approx(float(record[name].cotangent), rel=1e-5), name


def test_formulas_subtract_and_leave_out_ones():
    def loss(p, x):
        z = p["a"] * np.exp(1j * p["k"] * x)
        return np.mean(np.abs(z - 1.0) ** 2)

    record = rg.explore(loss)({"a": 0.5 + 0.2j, "k": 1.3}, np.array([0.5]))
    assert str(record["l"].formula) == "Σ |z - 1|²"  # of one number, and not "- (1+0i)"
    assert str(record["k"].backward) == "Re((Σ dl/dz · a · exp(i · k · x) · x) · i)"  # the real part of all of it

    def gate(z, n, h):
        g = np.tanh(z)
        return np.sum((1.0 - g) * n + g * h)

    record = rg.explore(gate, argnums=(0,))(np.ones(2), np.full(2, 0.5), np.full(2, 3.0))
    assert str(record["g"].backward) == "h - n"


def test_a_name_of_words_keeps_its_digits():
    def loss(weight_ih_l0, hidden_1):
        return np.sum(weight_ih_l0 * hidden_1)

    record = rg.explore(loss)(np.ones(2), np.ones(2))
    assert record["weight_ih_l0"].symbol.tex == "\\operatorname{weight\\_ih\\_l0}"
    assert record["hidden_1"].symbol.tex == "\\operatorname{hidden}_1"
