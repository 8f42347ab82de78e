from __future__ import annotations

from typing import Any

import pytest

from hpcexp.template.expressions import FUNCTIONS, ExpressionError, evaluate, find_names

VALUES: dict[str, Any] = {
    "batch_size": 16,
    "train_set_size": 128,
    "lr": 0.001,
    "max_step": None,
    "dataset": {"num_frames": 20, "kind": "bounce"},
    "vae_channels": [4, 8, 16],
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("150001 // batch_size", 9375),
        ("32000 * batch_size // train_set_size", 4000),
        ("lr * (batch_size / 32) ** 0.5", 0.001 * 0.5**0.5),
        ("dataset.num_frames - 1", 19),
        ("min(256, train_set_size)", 128),
        ("max(batch_size, 20, 3)", 20),
        ("ceil(train_set_size / 3)", 43),
        ("int(lr * 10000)", 10),
        ("len(vae_channels)", 3),
        ("5 if dataset.kind == 'bounce' else 7", 5),
        ("batch_size < 32 and lr > 0", True),
        ("-batch_size % 10", 4),
        ("4000", 4000),
        ("round(2.5)", 2),
    ],
)
def test_arithmetic_over_hyperparameters(expression: str, expected: Any) -> None:
    assert evaluate(expression, VALUES) == pytest.approx(expected)


def test_the_names_that_an_expression_reads() -> None:
    expression = "min(a, b.c.d) + a * (2 if e > 1 else f)"
    assert find_names(expression) == ("a", "b.c.d", "e", "f")


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('ls')",
        "lr.__class__",
        "(1).real",
        "dataset['num_frames']",
        "[1, 2]",
        "lambda: 1",
        "eval('1')",
        "'{}'.format(lr)",
        "f'{lr}'",
        "[x for x in vae_channels]",
        "min(batch_size, key=len)",
        "min(*vae_channels)",
        "(x := 3)",
        "a = 3",
        "1; 2",
        "",
        "32000 *",
    ],
)
def test_nothing_but_arithmetic_is_let_through(expression: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(expression, VALUES)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("batch_sise * 2", "there is no batch_sise"),
        ("dataset.frames", "there is no dataset.frames"),
        ("1 // (batch_size - 16)", "a division by zero"),
        ("9 ** 9 ** 9", "too high"),
        ("batch_size + dataset.kind", "unsupported operand"),
        ("max_step + 1", "unsupported operand"),
        ("sqrt(-1)", "math domain|nonnegative"),
        ("system(3)", f"only these can be called: {', '.join(FUNCTIONS)}"),
        ("1" + " + 1" * 300, "longer than 500"),
        ("((" * 120 + "1" + "))" * 120, "no expression such as"),
    ],
)
def test_what_cannot_be_computed_says_why(expression: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        evaluate(expression, VALUES)
