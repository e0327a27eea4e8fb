"""scikit-learn's protocol of estimators without the dependency: parameters, tags, routing.

scikit-learn is imported only where it calls, or where what is called is of no use without it.
"""

from __future__ import annotations

import inspect
import sys
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

    def set_fit_request(self: Self, **requests: bool | str | None) -> Self:
        """Say which arguments of `fit` scikit-learn's meta-estimators are to pass on.

        They ask for it where ``sklearn.set_config(enable_metadata_routing=True)`` is in force.

        Parameters
        ----------
        **requests : bool, str or None
            For keyword arguments of `fit`: True passes them on, False does not, None makes them an
            error (as long as nothing is said), and a str passes on the argument of that name.

        Returns
        -------
        The estimator itself.

        Raises
        ------
        TypeError
            If `fit` has no such argument.
        ValueError
            If a value is none of these.
        ImportError
            If scikit-learn is not installed.

        Examples
        --------
        >>> from cml_fast import Trainer
        >>> Trainer(n_dims=20).set_fit_request(item_features=True)
        Trainer(n_dims=20)
        """
        known = self._fit_metadata()
        for name in requests:
            if name not in known:
                raise TypeError(f"fit has no argument {name!r} to pass on; it has {known}")
        metadata = self.get_metadata_routing()
        for name, request in requests.items():
            metadata.fit.add_request(param=name, alias=request)
        self._metadata_request = metadata  # under the name that sklearn.base.clone copies
        return self

    def get_metadata_routing(self) -> Any:
        """Return what `set_fit_request` has set, for scikit-learn's meta-estimators.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRequest

        Raises
        ------
        ImportError
            If scikit-learn is not installed.

        Examples
        --------
        >>> from cml_fast import Trainer
        >>> trainer = Trainer().set_fit_request(item_features=True, checkpoint=False)
        >>> requests = trainer.get_metadata_routing().fit.requests
        >>> requests["item_features"], requests["checkpoint"], requests["user_features"]
        (True, False, None)
        """
        from sklearn.utils.metadata_routing import MetadataRequest

        metadata = MetadataRequest(owner=type(self).__name__)
        given = getattr(self, "_metadata_request", None)
        for name in self._fit_metadata():
            request = None if given is None else given.fit.requests[name]
            metadata.fit.add_request(param=name, alias=request)
        # Pipeline.score asks for this argument, even if nobody has given it.
        metadata.score.add_request(param="sample_weight", alias=None)
        return metadata

    @classmethod
    def _fit_metadata(cls) -> list[str]:
        """The arguments of ``fit`` besides X and y."""
        parameters = inspect.signature(cls.fit).parameters.values()  # type: ignore[attr-defined]
        return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            input_tags=InputTags(two_d_array=False, sparse=True, positive_only=True),
        )

    def _check_fitted(self, attribute: str) -> None:
        """Raise ValueError, of scikit-learn's kind if it is loaded, before ``fit``."""
        if hasattr(self, attribute):
            return
        exceptions = sys.modules.get("sklearn.exceptions")
        error = ValueError if exceptions is None else exceptions.NotFittedError
        raise error(f"this {type(self).__name__} has learned nothing yet: call fit first")

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
