"""Each layer against PyTorch's, its weights loaded from a state_dict saved as safetensors: values, gradients, transforms."""

from functools import partial

import numpy as np
import pytest
import spatial_cases

import retrograde as rg
from retrograde import nn
from retrograde.tree import tree_flatten, tree_leaves, tree_map

torch = pytest.importorskip("torch")
tn = torch.nn
RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape)


class Case:
    """Our layer, PyTorch's, float inputs, and further arguments (masks, numbers) that are the same for both."""

    def __init__(self, name, ours, theirs, *inputs, more=(), **kwargs):
        self.name, self.ours, self.theirs, self.inputs, self.more, self.kwargs = name, ours, theirs, inputs, more, kwargs

    def loaded(self, dtype, tmp_path):
        from safetensors.torch import save_file

        torch.manual_seed(0)
        theirs = self.theirs().to(getattr(torch, dtype)).eval()
        for parameter in theirs.parameters():  # some start as ones and zeros, which would hide an exchange
            with torch.no_grad():
                parameter.copy_(torch.randn_like(parameter) * 0.5)
        save_file({k: v.contiguous() for k, v in theirs.state_dict().items()}, tmp_path / "net.safetensors")
        return nn.load_state_dict(self.ours, tmp_path / "net.safetensors", dtype=dtype), theirs

    def call(self, net, *inputs):
        return net(*inputs, *self.more, **self.kwargs)

    def value(self, net, *inputs):
        """A number that every output moves."""
        return sum(np.sum(leaf * weights_like(leaf)) for leaf in tree_leaves(self.call(net, *inputs)))


def weights_like(leaf):
    return np.cos(np.arange(np.prod(leaf.shape))).reshape(leaf.shape).astype(leaf.dtype)


def of_torch(tree):
    return [t.detach().numpy() for t in torch.utils._pytree.tree_leaves(tree) if t is not None]


def to_torch(value, dtype="float64"):
    if not isinstance(value, np.ndarray):
        return value
    return torch.from_numpy(value.astype(dtype) if value.dtype.kind == "f" else value.copy())


CAUSAL = np.triu(np.ones((4, 4), bool), 1)
PADDED = np.array([[False, False, False, True], [False, False, False, False]])
ADDED = np.where(CAUSAL, -2.0, 0.25)
x2, x3 = normal(3, 6), normal(2, 4, 6)
# padding is masked in both without their weights' NaN: no row is masked whole
ACTIVATIONS = [
    ("ReLU",), ("ReLU6",), ("LeakyReLU", 0.2), ("PReLU",), ("PReLU", 4), ("ELU", 1.5), ("CELU", 0.75), ("SELU",), ("GELU",),
    ("GELU", "tanh"), ("SiLU",), ("Mish",), ("Tanh",), ("Tanhshrink",), ("Sigmoid",), ("LogSigmoid",), ("Softplus", 2.0, 3.0),
    ("Softsign",), ("Hardtanh", -0.5, 1.5), ("Hardsigmoid",), ("Hardswish",), ("Hardshrink", 0.4), ("Softshrink", 0.4),
    ("Threshold", 0.3, -2.0), ("Softmax", -1), ("Softmin", 1), ("LogSoftmax", 1), ("GLU", -1), ("Identity",),
]  # fmt: skip
CASES = [
    Case(f"{name}{settings}", getattr(nn, name)(*settings),
         lambda name=name, settings=settings: getattr(tn, name)(*settings) if name != "GELU" or not settings
         else tn.GELU(approximate=settings[0]), 2 * normal(2, 4, 6))
    for name, *settings in ACTIVATIONS
]  # fmt: skip
CASES += [
    Case("Linear", nn.Linear(6, 3), lambda: tn.Linear(6, 3), x3),
    Case("Flatten", nn.Flatten(), lambda: tn.Flatten(), x3),
    Case("Flatten(0, 1)", nn.Flatten(0, 1), lambda: tn.Flatten(0, 1), x3),
    Case("Sequential", nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Sequential(nn.Linear(3, 2, bias=False))),
         lambda: tn.Sequential(tn.Linear(6, 3), tn.Tanh(), tn.Sequential(tn.Linear(3, 2, bias=False))), x2),
    Case("LayerNorm", nn.LayerNorm(6), lambda: tn.LayerNorm(6), x3),
    Case("LayerNorm2", nn.LayerNorm((4, 6), eps=1e-3, bias=False), lambda: tn.LayerNorm((4, 6), eps=1e-3, bias=False), x3),
    Case("LayerNorm plain", nn.LayerNorm(6, elementwise_affine=False), lambda: tn.LayerNorm(6, elementwise_affine=False), x3),
    Case("RMSNorm", nn.RMSNorm(6), lambda: tn.RMSNorm(6), x3),
    Case("RMSNorm2", nn.RMSNorm((4, 6), eps=1e-2), lambda: tn.RMSNorm((4, 6), eps=1e-2), x3),
    Case("GroupNorm", nn.GroupNorm(2, 4), lambda: tn.GroupNorm(2, 4), x3),
    Case("GroupNorm plain", nn.GroupNorm(3, 6, affine=False), lambda: tn.GroupNorm(3, 6, affine=False), x2),
    Case("Embedding", nn.Embedding(5, 3), lambda: tn.Embedding(5, 3), more=(np.array([[0, 4, 4], [1, 0, 2]]),)),
    Case("Embedding padding", nn.Embedding(5, 3, padding_idx=1), lambda: tn.Embedding(5, 3, padding_idx=1),
         more=(np.array([[0, 1, 4], [1, 0, 2]]),)),
    Case("Bilinear", nn.Bilinear(6, 4, 3), lambda: tn.Bilinear(6, 4, 3), x2, normal(3, 4)),
    Case("Bilinear plain", nn.Bilinear(6, 4, 3, bias=False), lambda: tn.Bilinear(6, 4, 3, bias=False), x2, normal(3, 4)),
]  # fmt: skip
for kind in ("RNN", "LSTM", "GRU"):
    state = (normal(2, 4, 3),) * (2 if kind == "LSTM" else 1)
    for name, settings, inputs in [
        ("plain", {}, (x3,)),
        ("deep", {"num_layers": 2, "batch_first": True, "dropout": 0.5}, (x3,)),
        ("both ways", {"num_layers": 2, "bidirectional": True, "bias": False}, (x3,)),
        ("alone", {"bidirectional": True}, (x2,)),
        ("from a state", {"num_layers": 2}, (x3, state if kind == "LSTM" else state[0])),
    ] + ([("relu", {"nonlinearity": "relu"}, (x3,))] if kind == "RNN" else []):
        CASES.append(Case(f"{kind} {name}", getattr(nn, kind)(6, 3, **settings),
                          lambda kind=kind, settings=settings: getattr(tn, kind)(6, 3, **settings), *inputs))  # fmt: skip
for name, settings, inputs, masks in [
    ("self", {"batch_first": True}, (x3, x3, x3), {}),
    ("heads' weights", {"bias": False}, (x3, x3, x3), {"average_attn_weights": False}),
    ("causal and padding", {"batch_first": True}, (x3, x3, x3), {"attn_mask": CAUSAL, "key_padding_mask": PADDED}),
    ("added", {"batch_first": True}, (x3, x3, x3), {"attn_mask": ADDED}),
    ("mask by head", {"batch_first": True}, (x3, x3, x3), {"attn_mask": np.stack([CAUSAL, CAUSAL.T] * 2) }),
    ("across", {"kdim": 5, "vdim": 3}, (normal(4, 2, 6), normal(3, 2, 5), normal(3, 2, 3)), {"need_weights": False}),
    ("alone", {}, (x2, x2, x2), {}),
]:
    CASES.append(Case(f"MultiheadAttention {name}", nn.MultiheadAttention(6, 2, **settings),
                      lambda settings=settings: tn.MultiheadAttention(6, 2, **settings), *inputs, **masks))  # fmt: skip
for name, settings, masks in [
    ("plain", {}, {}),
    ("norm first", {"norm_first": True, "activation": "gelu", "batch_first": True},
     {"src_mask": CAUSAL, "src_key_padding_mask": PADDED}),
    ("no bias", {"bias": False, "batch_first": True}, {"src_mask": CAUSAL}),
]:  # fmt: skip
    CASES.append(Case(f"TransformerEncoderLayer {name}", nn.TransformerEncoderLayer(6, 2, 8, **settings),
                      lambda settings=settings: tn.TransformerEncoderLayer(6, 2, 8, **settings), x3, **masks))  # fmt: skip
CASES.append(Case(
    "TransformerEncoder", nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), 2, nn.LayerNorm(6)),
    lambda: tn.TransformerEncoder(tn.TransformerEncoderLayer(6, 2, 8, batch_first=True), 2, tn.LayerNorm(6),
                                  enable_nested_tensor=False), x3, mask=CAUSAL, src_key_padding_mask=PADDED))  # fmt: skip
for name, settings, more, shape in spatial_cases.CASES:
    theirs = partial(getattr(tn, name), *settings, **more)
    CASES.append(Case(f"{name} {settings} {more}", getattr(nn, name)(*settings, **more), theirs, normal(*shape)))
every = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


def theirs_of(case, theirs, inputs, dtype):
    """PyTorch's outputs and its gradients by parameter name and by input."""
    leaves, spec = torch.utils._pytree.tree_flatten(tree_map(lambda a: torch.from_numpy(a.copy()), inputs))
    for leaf in leaves:
        leaf.requires_grad_(True)
    kwargs = {k: to_torch(v, dtype) for k, v in case.kwargs.items()}
    theirs.requires_grad_(True)
    found = theirs(*torch.utils._pytree.tree_unflatten(leaves, spec), *map(to_torch, case.more), **kwargs)
    outputs = [t for t in torch.utils._pytree.tree_leaves(found) if t is not None]
    value = sum((t * torch.from_numpy(weights_like(t.detach().numpy()))).sum() for t in outputs)
    named = dict(theirs.named_parameters())
    grads = torch.autograd.grad(value, [*named.values(), *leaves], allow_unused=True)
    grads = [np.zeros(p.shape) if g is None else g.numpy() for p, g in zip([*named.values(), *leaves], grads)]
    return of_torch(found), dict(zip(named, grads)), grads[len(named):]


@every
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # PyTorch's, of its own speed
@pytest.mark.parametrize("dtype, how", [("float64", "eager"), ("float32", "eager"), ("float32", "jit")])
def test_outputs_and_gradients_are_torchs(case, dtype, how, tmp_path):
    net, theirs = case.loaded(dtype, tmp_path)
    inputs = tree_map(lambda a: a.astype(dtype), case.inputs)
    outputs, by_name, by_input = theirs_of(case, theirs, inputs, dtype)
    transform = rg.jit if how == "jit" else lambda f: f
    found = tree_leaves(transform(case.call)(net, *inputs))
    tight = {"rtol": 1e-10, "atol": 1e-12} if dtype == "float64" else {"rtol": 1e-5, "atol": 1e-5}
    if case.name.startswith("Hardsigmoid"):  # PyTorch's own 1/6 is a float32, whatever x is
        tight["rtol"] = max(tight["rtol"], 1e-7)
    assert len(found) == len(outputs)
    for ours, wanted in zip(found, outputs):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, wanted, **tight)
    grads = transform(rg.grad(case.value, argnums=tuple(range(1 + len(inputs)))))(net, *inputs)
    ours = nn.state_dict(grads[0])
    assert sorted(ours) == sorted(by_name)
    for name, wanted in by_name.items():
        np.testing.assert_allclose(ours[name], wanted, **tight, err_msg=name)
    for g, wanted in zip(tree_leaves(grads[1:]), by_input):
        np.testing.assert_allclose(g, wanted, **tight)


@every
def test_derivatives_against_finite_differences(case, tmp_path):
    net, _ = case.loaded("float64", tmp_path)
    # what a fault would move is the rules of the operations, each tested on its own: few elements of each are enough
    rg.check(case.value, tolerance=1e-5)(net, *case.inputs)


@every
def test_vmap_is_a_loop(case, tmp_path):
    net, _ = case.loaded("float64", tmp_path)
    nets = tree_map(lambda a: np.stack([a, a * 0.5, a + 0.1]), net)
    inputs = tree_map(lambda a: np.stack([a, a * 0.7, a - 0.2]), case.inputs)
    together = rg.vmap(rg.value_and_grad(case.value))(nets, *inputs)
    for i in range(3):
        alone = rg.value_and_grad(case.value)(*tree_map(lambda a, i=i: a[i], (nets, *inputs)))
        for a, b in zip(tree_leaves(together), tree_flatten(alone)[0]):
            np.testing.assert_allclose(a[i], b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mask", [None, CAUSAL.T, np.where(CAUSAL, -np.inf, 0.5), "causal"], ids=str)
def test_scaled_dot_product_attention_is_torchs(mask):
    q, k, v = normal(2, 3, 4, 6), normal(2, 3, 4, 6), normal(2, 3, 4, 5)
    settings = {"is_causal": True} if isinstance(mask, str) else {"attn_mask": mask}
    tensors = [torch.from_numpy(a).requires_grad_(True) for a in (q, k, v)]
    wanted = tn.functional.scaled_dot_product_attention(*tensors, scale=0.3, **{n: to_torch(m) for n, m in settings.items()})
    wanted.cos().sum().backward()
    for transform in (lambda f: f, rg.jit):
        found = transform(lambda *a: nn.scaled_dot_product_attention(*a, scale=0.3, **settings))(q, k, v)
        np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-10, atol=1e-12)
        loss = lambda *a: np.sum(np.cos(nn.scaled_dot_product_attention(*a, scale=0.3, **settings)))  # noqa: E731
        for g, t in zip(transform(rg.grad(loss, argnums=(0, 1, 2)))(q, k, v), tensors):
            np.testing.assert_allclose(g, t.grad.numpy(), rtol=1e-9, atol=1e-12)
