"""Writes docs/reference/*.md, a page each for layers, losses and optimizers, from the docstrings.

    python docs/reference.py

`tests/test_reference.py` runs the examples in the docstrings, and fails where a page is not what this writes.
"""

import inspect
import re
from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).with_name("reference")

# page -> heading -> the modules whose public names stand below it
PAGES = {
    "layers": {
        "Linear layers, and layers one after another": ["nn.layers", "nn.containers"],
        "Embeddings and forms": ["nn.embedding"],
        "Activations": ["nn.activations"],
        "Normalization": ["nn.normalization", "nn.batch_normalization"],
        "Convolutions": ["nn.convolution"],
        "Pooling": ["nn.pooling"],
        "Recurrent layers": ["nn.recurrent"],
        "Attention": ["nn.attention", "nn.transformer"],
        "Ensembles": ["nn.ensemble"],
        "Modules, and layers of your own": ["nn.module", "nn.collecting"],
        "Freezing": ["nn.freezing"],
        "Parameters by name": ["nn.state_dict"],
        "Initializers": ["nn.initializers"],
        "Augmentations": ["nn.augment"],
    },
    "losses": {
        "Regression and likelihoods": ["nn.criteria"],
        "Classes": ["nn.classifying"],
        "Margins": ["nn.margins"],
        "Losses by name": ["nn.losses"],
    },
    "optimizers": {
        "Optimizers": ["optim.optimizers", "optim.adaptive"],
        "L-BFGS": ["optim.lbfgs", "optim.minimize"],
        "Around an optimizer": ["optim.wrappers", "optim.groups", "optim.names"],
        "Schedules": ["optim.schedules"],
    },
}
# where the public names are -> how a user calls that
PUBLIC = {"nn": "nn", "optim": "optim", "nn.initializers": "nn.initializers", "nn.augment": "nn.augment",
          "nn.losses": "nn.losses", "optim.schedules": "schedules"}  # fmt: skip
IMPORTS = "import numpy as np\nimport retrograde as rg\nfrom retrograde import nn, optim\nfrom retrograde.optim import schedules"


def public():
    """{name as a user writes it: object} of all that is public in `nn` and `optim`, modules left out."""
    found = {}
    for module, shown in PUBLIC.items():
        within = import_module(f"retrograde.{module}")
        found |= {f"{shown}.{name}": getattr(within, name) for name in within.__all__}
    return {name: thing for name, thing in found.items() if not inspect.ismodule(thing)}


def pages():
    """{file name: text}."""
    names = public()
    return {f"{page}.md": _page(page, sections, names) for page, sections in PAGES.items()}


def _page(page, sections, names):
    index, body = [], []
    for heading, modules in sections.items():
        here = {}
        for module in (import_module(f"retrograde.{name}") for name in modules):
            found = {name: thing for name, thing in names.items() if thing.__module__ == module.__name__}
            here |= dict(sorted(found.items(), key=lambda entry: inspect.getsourcelines(entry[1])[1]))
        index.append(f"| {heading} | {', '.join(f'[`{name}`](#{_anchor(name)})' for name in here)} |")
        about = [inspect.getdoc(import_module(f"retrograde.{name}")) for name in modules[:1]]
        body += [f"## {heading}", *about, *(_entry(name, thing) for name, thing in here.items())]
    return "\n\n".join([
        f"# {page.capitalize()}: reference",
        "<!-- written by docs/reference.py from the docstrings: change those -->",
        "Each entry stands in Python as well, as `help(nn.Linear)`. The examples run as they are, after",
        f"```py\n{IMPORTS}\n```",
        "\n".join(["| | |", "| --- | --- |", *index]),
        *body,
    ]) + "\n"  # fmt: skip


def _entry(name, thing):
    """Heading, call, docstring; of a class, its documented methods, too."""
    parts = [f"### `{name}`", _code("py", name + _signature(thing)), _prose(thing)]
    if inspect.isclass(thing):
        parts += [f"**`{call}`**: {_prose(method)}" for call, method in _methods(thing) if method.__doc__]
    return "\n\n".join(parts)


def _methods(cls):
    """(how it is called, method) of what the class defines for its users."""
    for name, method in vars(cls).items():
        if isinstance(method, property) and not name.startswith("_"):
            yield f".{name}", method
        elif inspect.isfunction(method) and name == "__call__":
            yield f"called as {_signature(method, bound=True)}", method
        elif inspect.isfunction(method) and not name.startswith("_"):
            yield f".{name}{_signature(method, bound=True)}", method


def _signature(thing, bound=False):
    """The arguments without their types."""
    signature = inspect.signature(thing)
    kept = [p.replace(annotation=p.empty) for p in list(signature.parameters.values())[1 if bound else 0 :]]
    shown = str(signature.replace(parameters=kept, return_annotation=signature.empty))
    return shown.replace("<class 'numpy.float32'>", "np.float32")


def _prose(thing):
    """A docstring in Markdown, with its examples as code."""
    paragraphs = inspect.getdoc(thing).split("\n\n")
    return "\n\n".join(_code("pycon", text) if text.startswith(">>>") else text for text in paragraphs)


def _code(language, text):
    return f"```{language}\n{text}\n```"


def _anchor(heading):
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    for file, text in pages().items():
        (FOLDER / file).write_text(text)
