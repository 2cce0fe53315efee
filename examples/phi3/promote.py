"""Let an alias of a registered model name another version; servers by that alias follow.

python promote.py phi3 2 prod
"""

from __future__ import annotations

import argparse

import headrace


def main() -> None:
    """Move the alias, and say from where to where."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("name", help="of the registered model, such as phi3")
    parser.add_argument("version", help="its number, such as 2")
    parser.add_argument("alias", nargs="?", default="prod", help="(default: %(default)s)")
    options = parser.parse_args()
    client = headrace.MlflowClient()
    try:
        before = client.get_registered_model(options.name).aliases.get(options.alias, "nothing")
        client.set_registered_model_alias(options.name, options.alias, options.version)
    except headrace.HeadraceError as error:
        raise SystemExit(f"It stays as it was: {error}") from None
    print(f"models:/{options.name}@{options.alias} was {before}, and is now {options.version}.")


if __name__ == "__main__":
    main()
