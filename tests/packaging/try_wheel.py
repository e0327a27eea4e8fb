"""Try a wheel as its users will have it: in an empty environment, outside the checkout.

python tests/packaging/try_wheel.py dist/cml_fast-*.whl
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

# Train, save, load and recommend, and a look at what was imported.
TRIAL = """
import sys
from pathlib import Path
import cml_fast
from cml_fast import Model, Trainer
from cml_fast.data import split, synthetic
from cml_fast.evaluation import evaluate

assert Path(sys.prefix) in Path(cml_fast.__file__).parents, cml_fast.__file__
slow_imports = {"matplotlib", "pyarrow"} & set(sys.modules)
assert not slow_imports, f"import cml_fast loads {slow_imports}"

train, test = split(synthetic(300, 200, 6000, n_tastes=4).interactions, (0.8, 0.2))
trained = Trainer(n_epochs=20, device="cpu", random_state=0, verbose=False).fit(train)
assert trained.history_[-1].loss < trained.history_[0].loss
trained.model_.save("model")
model = Model.load("model")
assert (model.user_vectors == trained.model_.user_vectors).all()
rows, scores = model.recommend([0, 1], 5)
assert rows.shape == scores.shape == (2, 5)
assert model.map("map.html", method="pca")["items"] == 200  # with the files of the page
recall = evaluate(model, test, train, [10]).recall[10]
assert recall > 2 * 10 / 200, recall  # chance is 10 of 200 items
print("recall@10", round(float(recall), 3), cml_fast.build_info())
"""


def main() -> None:
    (wheel,) = (Path(name).resolve() for name in sys.argv[1:])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        venv.create(folder / "environment", with_pip=True)
        python = str(folder / "environment" / "bin" / "python")
        for command in (["-m", "pip", "install", "--quiet", str(wheel)], ["-I", "-c", TRIAL]):
            subprocess.run([python, *command], cwd=folder, check=True)


if __name__ == "__main__":
    main()
