"""Images that are OCI layouts: unpacked behind the API's back, one after the other; then they are available, or failed."""

from __future__ import annotations

import logging
import shutil
import threading
from dataclasses import replace
from pathlib import Path

from ringfence import oci
from ringfence.model.errors import ApiError
from ringfence.model.kinds import IMAGE
from ringfence.model.nouns.instance import Image
from ringfence.model.world import Change, World, put
from ringfence.store.store import Commit, Store

log = logging.getLogger("ringfence.images")


class Unpacker:
    """A thread that brings pending images to where they are going. Begins again with what a crash left pending."""

    def __init__(self, store: Store) -> None:
        self._store, self._wake, self._closing = store, threading.Event(), False
        store.subscribe(self._changed)
        self._wake.set()
        self._thread = threading.Thread(target=self._run, name="images", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """After the image that is being unpacked."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _changed(self, _before: World, after: World, _change: Change) -> None:
        if pending(after):
            self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            for image in pending(self._store.world):
                if self._closing:
                    return
                self._settle(unpacked(image))
            if self._closing:
                return

    def _settle(self, done: Image) -> None:
        def decide(world: World) -> Commit:
            there = world.find(IMAGE, done.id)
            return Commit(change=put(IMAGE, replace(there, root=done.root, state=done.state, state_reason=done.state_reason))
                          if there is not None else Change())  # fmt: skip

        try:
            self._store.write(decide)
        except ApiError as problem:
            log.error("the state of %s cannot be recorded: %s", done.id, problem)


def pending(world: World) -> list[Image]:
    """Images that wait to be unpacked."""
    return [image for image in world.all(IMAGE) if image.state == "pending"]


def unpacked(image: Image) -> Image:
    """The image with its root directory, or with why it has none."""
    layout = Path(image.root)
    into = layout.parent / oci.UNPACKED
    for left in into.glob(".partial-*"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        return replace(image, root=str(oci.unpack(layout, into)), state="available")
    except (oci.OciError, OSError) as problem:
        log.warning("%s (%s) cannot be used: %s", image.id, layout, problem)
        return replace(image, state="failed", state_reason=("Client.InvalidImage", str(problem)[:255]))
