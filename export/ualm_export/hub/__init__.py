"""Checkpoints on a hub (Hugging Face's, or one with its interface), fetched into the hub's own cache."""

from .cache import Cache
from .download import fetch, missing_bytes, weights_in_remote
from .name import HubName
from .repository import Hub, RemoteFile, Repository

__all__ = ["Cache", "Hub", "HubName", "RemoteFile", "Repository", "fetch", "missing_bytes", "weights_in_remote"]
