"""Checks of the light side: what `segcli models list` and a card meet before a network runs."""

from __future__ import annotations

import dataclasses
import operator
import os
import subprocess
import sys

from segcli.card_json import check_card, format_card, parse_card
from segcli.contract import API_VERSION, ModelCard, ModelPlugin, fits
from segcli.errors import ModelError
from segcli.plugin_guard import guarded
from segcli.testing.subject import CheckFailed, NotApplicable, Note, Subject, contract_numbers

STRANGE_OPTION = "an_option_nobody_has"

_LIGHT = """
import importlib, sys
module, _, path = sys.argv[1].partition(":")
plugin = importlib.import_module(module)
for part in filter(None, path.split(".")):
    plugin = getattr(plugin, part)
plugin.api, plugin.name, plugin.summary, plugin.default(), plugin.example()
print(",".join(sorted({"torch", "numpy", "onnxruntime", "tensorflow", "monai"} & set(sys.modules))))
"""


def check_listing_is_light(subject: Subject) -> Note:
    """Importing the plugin, its example and its default import no torch: everybody's `--help` would wait for it."""
    if subject.origin is None:
        raise NotApplicable("not installed, so there is no entry point to import")
    done = subprocess.run(
        [sys.executable, "-c", _LIGHT, subject.origin],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if done.returncode:
        raise CheckFailed(f"{subject.origin} does not import: {(done.stderr.splitlines() or ['no message'])[-1]}")
    heavy = (done.stdout.splitlines() or [""])[-1]
    if heavy:
        raise CheckFailed(f"importing {subject.origin} imports {heavy}: import it inside build() only")
    return Note()


def check_name_and_api(subject: Subject) -> Note:
    """The object is a plugin of this contract's version, and its card belongs to it."""
    plugin = subject.plugin
    if not isinstance(plugin, ModelPlugin):
        raise CheckFailed("it lacks a member of segcli.contract.ModelPlugin")
    if plugin.api != API_VERSION:
        raise CheckFailed(f"api is {plugin.api!r}, this segcli has contract version {API_VERSION}")
    if not plugin.name or any(letter.isspace() or letter in "/\\:" for letter in plugin.name):
        raise CheckFailed(f"the name {plugin.name!r} cannot be written after --model")
    if not plugin.summary or "\n" in plugin.summary:
        raise CheckFailed("summary must be one line of text")
    if subject.card.plugin != plugin.name:
        raise CheckFailed(f"the card says plugin {subject.card.plugin!r}, the plugin calls itself {plugin.name!r}")
    return Note(f"{plugin.name}, contract version {plugin.api}")


def check_card_builds(subject: Subject) -> Note:
    """The card is sound, survives JSON, and builds a network on the CPU whose sizes fit the card's tile."""
    card = subject.card
    if not isinstance(card, ModelCard):
        raise CheckFailed(f"example() returned {type(card).__name__}, not a ModelCard")
    try:
        check_card(card)
        if parse_card(format_card(card)) != card:
            raise CheckFailed("the card is another after being written to JSON and read (lists instead of tuples?)")
    except ModelError as error:
        raise CheckFailed(f"the card is not sound: {error}") from error
    network = subject.network()
    multiple, offset = contract_numbers(network)
    if not fits(card.tile, multiple, offset):
        raise CheckFailed(
            f"the tile {list(card.tile)} does not fit: sides are {offset} more than multiples of {multiple}"
        )
    elsewhere = {str(p.device) for p in network.parameters()} - {"cpu"}
    if elsewhere:
        raise CheckFailed(
            f"build() put parameters on {', '.join(sorted(elsewhere))}; the engine moves them, not the plugin"
        )
    _must_stay_in_place(subject)
    count = sum(p.numel() for p in network.parameters())
    return Note(f"{count:,} parameters", {"parameters": count})


def _must_stay_in_place(subject: Subject) -> None:
    """A submodule called like the plugin object replaces it in its package as soon as build() imports it."""
    if subject.origin is None:
        return
    module, _, attribute = subject.origin.partition(":")
    if module in sys.modules and operator.attrgetter(attribute)(sys.modules[module]) is not subject.plugin:
        raise CheckFailed(
            f"build() replaced {subject.origin} by something else: does a module of the package have the same name?"
        )


def check_unknown_option_is_refused(subject: Subject) -> Note:
    """A misspelt option in a card is a ValueError that names it, never silently ignored."""
    options = {**subject.card.plugin_options, STRANGE_OPTION: 1}
    try:
        with guarded([]):
            subject.plugin.build(dataclasses.replace(subject.card, plugin_options=options))
    except ValueError as error:
        if STRANGE_OPTION not in str(error):
            raise CheckFailed(f"the refusal does not name the option: {error}") from error
        return Note()
    except Exception as error:
        raise CheckFailed(f"an unknown option gives {type(error).__name__}, not a ValueError naming it") from error
    raise CheckFailed(
        "build() ignores an unknown entry of card.plugin_options: a misspelt option would never be noticed"
    )
