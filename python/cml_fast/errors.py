"""The exceptions of this package.

Wrong arguments raise ValueError or TypeError, as usual in Python. The classes below exist where a
caller may want to handle one cause and no other.
"""


class DataError(ValueError):
    """A file or matrix of interactions or features that cannot be used.

    The message names the argument or file, and the place in it.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from cml_fast import Trainer
    >>> from cml_fast.errors import DataError
    >>> try:
    ...     Trainer().fit(sp.csr_array([[1.0, -1.0]]))
    ... except DataError as error:
    ...     print(error)
    train has 1 negative values, the first at row 0, column 1; weights must be finite and positive
    """


class ModelError(ValueError):
    """A saved model, index or checkpoint that is damaged, foreign or of a newer format.

    The message names the file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from cml_fast import Model
    >>> from cml_fast.errors import ModelError
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "model.json").write_text("{}")
    ...     try:
    ...         Model.load(folder)
    ...     except ModelError as error:
    ...         print(str(error).replace(folder, "folder"))
    folder/model.json was not written by cml_fast
    """


class ExportError(OSError):
    """A file or database to which a model cannot be exported.

    It is away, refuses the user, has no room, or has such a table already. Nothing was changed.
    The message says which, without passwords.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from cml_fast import Model
    >>> from cml_fast.errors import ExportError
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "items.parquet").write_text("of somebody else")
    ...     try:
    ...         Model([[0.0]], [[1.0]]).export(f"{folder}/items.parquet")
    ...     except ExportError as error:
    ...         print(str(error).replace(folder, "folder"))
    folder/items.parquet exists already: replace it with if_exists='replace'
    """


class DeviceUnavailable(RuntimeError):
    """The chosen device cannot be used. The message says why.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from cml_fast import Trainer
    >>> from cml_fast.errors import DeviceUnavailable
    >>> likes = sp.csr_array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    >>> trainer = Trainer(device="cuda", temperature=0.3, n_epochs=1)
    >>> try:
    ...     trainer = trainer.fit(likes)
    ... except DeviceUnavailable:
    ...     trainer = trainer.set_params(device="cpu").fit(likes)
    >>> trainer.device_ in ("cpu", "cuda")
    True
    """


class TrainingDiverged(RuntimeError):
    """Training met a value that is not finite, and stopped.

    The update that would have written the value was refused: the last finite vectors are kept.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from cml_fast import Model
    >>> from cml_fast.errors import TrainingDiverged
    >>> model = Model([[0.0]], [[1.0], [-1.0], [0.5]])
    >>> try:
    ...     model.fold_in_users(sp.csr_array([[1, 1, 0]]), learning_rate=1e38)
    ... except TrainingDiverged as error:
    ...     print(str(error).split(":")[0])
    row 0 of interactions cannot be placed
    """
