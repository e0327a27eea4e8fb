"""scikit-learn's parameter protocol without the dependency, so that ``clone`` and tuners work."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

Self = TypeVar("Self", bound="Estimator")


class Estimator:
    """Base of a class whose ``__init__`` stores its keyword arguments under their own names."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the hyper-parameters as they were given.

        Parameters
        ----------
        deep : bool
            Has no effect; scikit-learn passes it.

        Returns
        -------
        dict of str to value

        Examples
        --------
        >>> from cml_fast import Trainer
        >>> Trainer(n_dims=20).get_params()["n_dims"]
        20
        """
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self: Self, **params: Any) -> Self:
        """Change hyper-parameters.

        Parameters
        ----------
        **params
            New values, by name. They are checked when training begins.

        Returns
        -------
        The estimator itself.

        Raises
        ------
        ValueError
            If there is no hyper-parameter of such a name. Nothing has changed then.

        Examples
        --------
        >>> from cml_fast import Trainer
        >>> Trainer().set_params(n_dims=20)
        Trainer(n_dims=20)
        """
        known = list(self._defaults())
        for name in params:
            if name not in known:
                raise ValueError(
                    f"unknown parameter {name!r} of {type(self).__name__}; it has {known}"
                )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        parameters = inspect.signature(cls.__init__).parameters
        return {name: p.default for name, p in parameters.items() if name != "self"}

    def __repr__(self) -> str:
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if repr(value) != repr(self._defaults()[name])
        ]
        return f"{type(self).__name__}({', '.join(changed)})"
