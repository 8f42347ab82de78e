"""Whom to tell when an experiment has ended."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _check_command(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError('write one shell line, such as notify-send "$HPCEXP_SUMMARY"')
    return text


def _check_url(text: str) -> str:
    if not text.startswith(("https://", "http://", "$")) or not text.isprintable() or " " in text:
        raise ValueError(
            f"{text!r:.60} is no address; write https://..., or $NAME of an environment variable "
            "that holds it"
        )
    return text


class Notify(BaseModel):
    """What is done once, when every run of an experiment has ended.

    Slurm's own mails are asked for with `resources.sbatch: {mail-type: END, mail-user: ...}`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    command: Annotated[str, AfterValidator(_check_command)] | None = Field(
        default=None,
        description="A shell line; finds HPCEXP_EXPERIMENT (its path) and HPCEXP_SUMMARY (a "
        "sentence) in its environment, and JSON on its standard input.",
    )
    webhook: Annotated[str, AfterValidator(_check_url)] | None = Field(
        default=None,
        description="An address that gets the same JSON, with the sentence as text, such as "
        "chats take it; $NAME stands for an environment variable, since addresses are secrets.",
    )
