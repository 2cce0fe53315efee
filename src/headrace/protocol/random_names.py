"""Names for runs and models that were given none: an adjective, a noun, a number."""

from __future__ import annotations

import secrets

_ADJECTIVES = (
    "able agile amber ample apt bold brave breezy bright brisk calm candid clear clever cosmic "
    "crisp curious daring deep deft eager early easy exact fair fast fine fleet fond free fresh "
    "gentle glad golden good grand great hale happy hardy honest humble jolly just keen kind "
    "lively loyal lucid lucky mellow merry mild neat nimble noble open patient placid plain "
    "polite proud pure quick quiet rapid rare ready rich robust rosy round serene sharp shiny "
    "silent silver simple smart smooth snug solid sound spry stable steady still strong sunny "
    "sure swift tidy tranquil trim true upbeat vivid warm wise witty zesty"
).split()
_NOUNS = (
    "aspen badger bay beaver birch bison brook canal cedar cove crane creek delta dove dune "
    "eagle elk elm falcon fern finch fjord flume ford forest fox glade glen gorge grove gull "
    "harbor hare hawk heath heron hill inlet isle ivy jay kelp kestrel lagoon lake lark ledge "
    "lichen linden lynx maple marsh marten meadow mesa mill moss newt oak orchid osprey otter "
    "owl pike pine plover pond poplar quail race rapids raven reed reef ridge river robin rook "
    "sage sedge shoal shore shrew sluice sparrow spring spruce stoat stork stream swan tern "
    "thistle thrush tide trout vale weir willow wren yew"
).split()


def random_name() -> str:
    """A name such as 'brisk-otter-417'; names may repeat."""
    number = secrets.randbelow(1000)
    return f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_NOUNS)}-{number}"
