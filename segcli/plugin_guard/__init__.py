"""While a plugin's code is imported or builds a network, the process stays as it was.

What such code often changes for everybody (torch's settings, signal handlers, the environment, printed lines) is put
back and told. It is courtesy between neighbours, not a sandbox: a plugin is a program that runs with your rights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from segcli.errors import one_line
from segcli.plugin_guard.exits import exits_refused, exits_told
from segcli.plugin_guard.printing import quiet
from segcli.plugin_guard.settings import Setting, copy_of, process_settings, same
from segcli.plugin_guard.signals import signals_watched
from segcli.plugin_guard.torch_import import torch_watched

__all__ = ["exits_told", "guarded"]


@contextmanager
def guarded(notes: list[str], *, seeds: bool = True) -> Iterator[None]:
    """Run a plugin's code inside; what it changed or printed is undone and added to ``notes``, one line each.

    ``seeds``: random states too (building a network draws its first weights, which is no offence). What it raises gets
    out if it is an Exception; ``sys.exit``, ``os._exit`` and the like become a RuntimeError. A real Ctrl-C gets out as
    KeyboardInterrupt.
    """
    before = {item.name: (item, copy_of(item.read())) for item in process_settings(seeds=seeds)}
    torch_before: dict[str, tuple[Setting, Any]] = {}
    interrupts: list[int] = []
    with torch_watched(torch_before, seeds=seeds), signals_watched(notes, interrupts), quiet(notes), exits_refused():
        try:
            yield
        except Exception:
            raise
        except BaseException as error:
            if interrupts and isinstance(error, KeyboardInterrupt):
                raise
            name, text = type(error).__name__, one_line(error)
            raise RuntimeError(f"it raised {name}" + (f": {text}" if text != name else "")) from None
        finally:
            _restore({**before, **torch_before}, notes)


def _restore(before: Mapping[str, tuple[Setting, Any]], notes: list[str]) -> None:
    changed = []
    for name, (setting, value) in before.items():
        if _is_as_before(setting, value):
            continue
        changed.append(name)
        with suppress(Exception):
            setting.write(value)
    if changed:
        notes.append(f"it changed {', '.join(changed)}; put back")


def _is_as_before(setting: Setting, value: Any) -> bool:
    try:
        return same(setting.read(), value)
    except Exception:  # noqa: BLE001 - a setting that cannot be read any more has been changed
        return False
