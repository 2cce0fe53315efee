"""`headrace trust`: the key that signs one's models, and whose models may run code here."""

from __future__ import annotations

import os
from pathlib import Path

import click

from headrace import settings
from headrace.cli import output
from headrace.cli.command import Group
from headrace.cli.options import confirm, json_option

_FROM = {
    "key": "your key",
    "file": "trusted_signers",
    "environment": settings.TRUSTED_SIGNERS.names[0],
}


@click.group(cls=Group)
def trust() -> None:
    """Say whose models may run code here, sign and verify models.

    A model that is more than data (a pickle, your own Python code) is loaded only when somebody
    you trust has signed it. Your own models are signed as they are saved, with a key that is made
    when it is first needed; the keys of others you add here. HEADRACE_SIGNING_KEY and
    HEADRACE_TRUSTED_SIGNERS do the same for CI and images.
    """


@trust.command(examples=["headrace trust show", "headrace trust show --pem > ann.pem"])
@click.option("--pem", is_flag=True, help="Print the public key as a PEM file, for other tools.")
@json_option
def show(pem: bool, as_json: bool) -> None:
    """Show your public key and its fingerprint. Pass them on; nothing in them is secret."""
    from headrace.models.trust.own_key import signing_key

    key = signing_key().public
    if pem:
        click.echo(key.pem, nl=False)
    elif as_json:
        output.emit_json(
            {"fingerprint": key.fingerprint, "public_key": key.text, "public_key_pem": key.pem}
        )
    else:
        output.facts([("fingerprint", key.fingerprint), ("public key", key.text)])
        output.note(f"Others trust your models after: headrace trust add YOUR-NAME {key.text}")


@trust.command(
    examples=[
        "headrace trust add ann ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        "headrace trust add ann ann.pem",
        "headrace trust add ann models:/churn@champion",
    ]
)
@click.argument("name")
@click.argument("key")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def add(name: str, key: str, yes: bool, as_json: bool) -> None:
    """Trust a signer: models signed with this key may run code on this account.

    KEY is the public key as its owner's `headrace trust show` prints it, a PEM file, or a model
    signed with it, a folder or a URI. Anybody can sign: compare the fingerprint with its owner.
    """
    from headrace.models.trust import open_folder
    from headrace.models.trust.keys import parse_public_key
    from headrace.models.trust.signers import add_signer

    if os.path.isdir(key) or key.startswith(("models:/", "runs:/")):
        found = open_folder(_local(key)).signer_key
        if found is None:
            raise click.UsageError(f"The model in '{key}' is not signed with a key of Headrace.")
        confirm(f"Trust {found.fingerprint}, which has signed '{key}', as {name}?", yes)
    elif os.path.isfile(key):
        found = parse_public_key(Path(key).read_text(encoding="utf-8", errors="replace"))
    else:
        found = parse_public_key(key)
    added = add_signer(name, found)
    if as_json:
        output.emit_json({"name": added.name, "fingerprint": found.fingerprint})
        return
    output.note(f"Trusted {added.name}, with the fingerprint {found.fingerprint}.")
    output.note(f"To end it: headrace trust remove {added.name}")


@trust.command(name="list", examples=["headrace trust list", "headrace trust list --json"])
@json_option
def list_(as_json: bool) -> None:
    """List everybody whose models may run code here: you, those added, those of the environment."""
    from headrace.models.trust.signers import trusted_signers

    signers = trusted_signers()
    if as_json:
        rows = [
            {
                "name": signer.name,
                "fingerprint": signer.key.fingerprint,
                "public_key": signer.key.text,
                "since": signer.since,
                "source": signer.source,
            }
            for signer in signers
        ]
        output.emit_json({"signers": rows})
        return
    output.table(
        ("NAME", "FINGERPRINT", "SINCE", "FROM"),
        ((one.name, one.key.fingerprint, one.since, _FROM[one.source]) for one in signers),
    )


@trust.command(examples=["headrace trust remove ann"])
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """No longer trust a signer, by name or fingerprint. What is loaded already stays loaded."""
    from headrace.models.trust.signers import remove_signer

    removed = remove_signer(name)
    if as_json:
        output.emit_json({"name": removed.name, "fingerprint": removed.key.fingerprint})
    else:
        output.note(f"{removed.name} ({removed.key.fingerprint}) is no longer trusted.")


@trust.command(examples=["headrace trust sign ./model"])
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
def sign(folder: Path, as_json: bool) -> None:
    """Sign a model's folder as it is now, with your key: after an edit, or for a model of others.

    Your signature says that what is in it may run code. Look at what you sign.
    """
    from headrace.models.trust import open_folder, sign_folder
    from headrace.models.trust.own_key import signing_key

    key = signing_key().public  # raises where sign_folder would only warn
    sign_folder(folder)
    count = len(open_folder(folder).names)
    if as_json:
        output.emit_json({"fingerprint": key.fingerprint, "files": count})
    else:
        output.note(f"Signed {count} files in {folder} as {key.fingerprint}.")


@trust.command(
    examples=["headrace trust verify ./model", "headrace trust verify models:/churn@champion"]
)
@click.argument("model")
@json_option
def verify(model: str, as_json: bool) -> None:
    """Check every byte of a model against its signature, and who signed it; nothing is loaded.

    MODEL is a folder or any URI of a model. Ends with 4 when a file was changed, or when nobody
    whom you trust has signed it.
    """
    from headrace.errors import NotTrusted
    from headrace.models.trust import open_folder
    from headrace.models.trust.signers import trusted_signers

    folder = open_folder(_local(model))
    key = folder.signer_key
    names = [signer.name for signer in trusted_signers() if signer.key == key]
    extra = folder.unsigned_files()
    if as_json:
        output.emit_json(
            {
                "signer": folder.signer,
                "name": names[0] if names else None,
                "is_trusted": folder.is_trusted,
                "files": folder.names,
                "unsigned_files": extra,
            }
        )
    else:
        output.facts(
            [
                ("signed by", folder.signer or "nobody"),
                ("trusted as", names[0] if names else "nobody you trust"),
                ("files", f"{len(folder.names)}, as they were signed" if key else "not signed"),
            ]
        )
        if key and extra:
            output.note(f"Not signed, and never loaded: {', '.join(map(output.printable, extra))}")
    if key is None:
        raise NotTrusted(f"{model} is not signed with a key of Headrace.")
    if not folder.is_trusted:
        raise NotTrusted(
            f"{model} is signed by {folder.signer}, whom you do not trust. If you know whose key "
            f"that is: headrace trust add NAME {key.text}"
        )


def _local(model: str) -> Path:
    """The folder of a model, fetched first when it is named by a URI."""
    if os.path.isdir(model):
        return Path(model)
    from headrace.client.model_loading import local_model

    return local_model(model)
