"""An HTTP server of a saved model (``cml-fast[server]``)."""

try:
    import fastapi  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "serving a model needs FastAPI and uvicorn: pip install cml-fast[server] (the import "
        f"failed with: {error})"
    ) from error

from .app import create_app
from .server import serve

__all__ = ["create_app", "serve"]
