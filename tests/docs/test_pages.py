"""The commands and the code of the other pages, on an experiment that they find."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.docs.snippets import (
    PROJECT_DIR,
    Snippet,
    make_place,
    read_snippets,
    run_snippet,
)
from tests.warm.process import run_warm

DOCS_DIR = PROJECT_DIR / "docs"
TRAIN = Snippet("console", "hpcexp launch templates/quickstart.yaml --local")
FIND_METRICS = (
    'from pathlib import Path\npath = next(Path("experiments").glob("*/runs/*/metrics.*.bin"))\n'
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the templates and a trained quickstart."""
    directory = make_place(tmp_path_factory.mktemp("place"))
    run_snippet(TRAIN, directory=directory)
    return directory


def join_python(page: str) -> str:
    """The Python of a page as one script: later blocks use what earlier ones made."""
    snippets = read_snippets(DOCS_DIR / page)
    return "\n".join(s.text for s in snippets if s.language == "python")


def test_the_code_of_the_metrics_page_runs(place: Path) -> None:
    script = join_python("metrics.md") + "\nprint(len(results.runs), ax.get_ylim())"
    assert run_snippet(Snippet("python", script), directory=place).startswith("4 (")


def test_metrics_are_read_without_hpcexp_as_the_directory_page_says(place: Path) -> None:
    check = "\nimport sys\nprint(len(rows), rows['loss'].min() > 0, 'hpcexp' in sys.modules)"
    script = FIND_METRICS + join_python("experiment-directory.md") + check
    num_rows, is_positive, uses_hpcexp = run_snippet(
        Snippet("python", script), directory=place
    ).split()
    assert int(num_rows) > 2
    assert (is_positive, uses_hpcexp) == ("True", "False")


def test_the_command_of_the_templates_page_does_what_the_page_says(place: Path) -> None:
    text = (DOCS_DIR / "templates.md").read_text()
    example = re.search(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert example is not None
    (place / "templates" / "predict_weight.yaml").write_text(example[1])
    commands = [s for s in read_snippets(DOCS_DIR / "templates.md") if s.language == "console"]
    assert len(commands) == 1
    shown = run_snippet(commands[0], directory=place)
    assert "4 groups x 1 initialisation = 4 runs" in shown
    assert "nothing was created" in shown


def test_the_settings_of_the_sites_page_are_read_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (DOCS_DIR / "sites.md").read_text()
    example = re.search(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    assert example is not None
    (tmp_path / "hpcexp.toml").write_text(example[1])
    monkeypatch.setenv("HPCEXP_SITE", "garching")
    monkeypatch.setenv("USER", "me")
    snippets = [s for s in read_snippets(DOCS_DIR / "sites.md") if s.text.startswith("hpcexp site")]
    said = [run_snippet(snippet, directory=tmp_path) for snippet in snippets]
    assert "resources.partition" in said[0]
    assert '"site": "garching"' in said[1]


def test_the_commands_and_the_code_of_the_statistics_page_run(place: Path) -> None:
    page = DOCS_DIR / "statistics.md"
    commands = [s for s in read_snippets(page) if s.language == "console"]
    said = [run_snippet(snippet, directory=place) for snippet in commands]
    assert [c.text.split()[1] for c in commands if c.text.startswith("hpcexp")] == [
        "plot", "import-results", "plot", "import-results", "compare", "extend",
    ]  # fmt: skip
    assert "1 diverged and counted as a failure" in said[3]
    assert "settings are equal" in said[-2]
    assert "looks at 2, 6, 20 and 64 initialisations per group" in said[-1]
    for snippet in read_snippets(page):
        if snippet.language == "python":
            assert run_snippet(snippet, directory=place)


def test_the_code_and_the_rule_of_the_foretelling_page_work(place: Path) -> None:
    said = run_snippet(Snippet("python", join_python("foretelling.md")), directory=place)
    assert said.startswith("None []")
    assert "are needed to foretell anything" in said
    text = (DOCS_DIR / "foretelling.md").read_text()
    example = re.search(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert example is not None
    (place / "templates" / "foretold.yaml").write_text(example[1])
    command = ["hpcexp", "launch", "templates/foretold.yaml", "--dry-run", "--local"]
    done = run_warm([sys.executable, "-m", *command], cwd=place)
    assert "nothing was created" in done.stdout


def test_the_commands_of_the_eval_page_make_the_files_that_the_page_names(place: Path) -> None:
    page = DOCS_DIR / "eval.md"
    for snippet in read_snippets(page):
        run_snippet(snippet, directory=place)
    (experiment,) = (place / "experiments").glob("*_quickstart")
    made = {str(p.relative_to(experiment)) for p in experiment.glob("eval/**/*") if p.is_file()}
    run = "encoder_batch_norm=true_rand_0"
    listing = page.read_text().split("```\neval/last/")[1].split("```")[0]
    named = re.findall(r"\S+\.(?:csv|pdf|png|gif)", listing)
    assert len(named) == 13
    for name in named:
        name = name.replace("RUN", run)
        assert any(path.endswith(name) for path in made), name
    assert f"eval/best_linear_projection_mse/prediction/{run}_train_strip.png" in made


def test_the_commands_of_the_lab_notebook_page_make_what_the_page_says(place: Path) -> None:
    outputs = [
        run_snippet(snippet, directory=place)
        for snippet in read_snippets(DOCS_DIR / "lab-notebook.md")
    ]
    assert any("next: a smaller learning rate" in output for output in outputs)
    assert any("1 of 2" in output for output in outputs)  # groups that --where found
    notebook = place / "experiments" / "notebook"
    for name in (
        "notebook.html",
        "notebook.md",
        "present_in_meeting.html",
        "present_in_meeting.pdf",
    ):
        assert (notebook / name).is_file()


def test_the_notebook_that_the_page_shows_is_imported(place: Path) -> None:
    text = (DOCS_DIR / "lab-notebook.md").read_text()
    (example,) = re.findall(r"```\n(2022/.*?)```", text, flags=re.DOTALL)
    (place / "example.txt").write_text(example)
    said = run_snippet(Snippet("console", "hpcexp notebook import example.txt"), directory=place)
    assert "remarks on 1 experiment: 0 are here, 1 not yet" in said


def test_the_recipes_work_one_after_the_other(place: Path) -> None:
    for snippet in read_snippets(DOCS_DIR / "recipes.md"):
        if snippet.language == "console":
            run_snippet(snippet, directory=place)
    checks = (
        "\nprint(table['count'].tolist(), len(difference), len(best), len(everything), len(frame))"
    )
    script = join_python("recipes.md") + checks
    said = run_snippet(Snippet("python", script), directory=place)
    assert said.startswith("[2, 2] 2 4 4 ")
    assert (place / "mine.pdf").is_file()


@pytest.mark.parametrize("page", ["debug.md", "unmix.md"])
def test_the_commands_of_a_page_work_in_their_order(page: str, place: Path) -> None:
    snippets = read_snippets(DOCS_DIR / page)
    assert len(snippets) >= 5
    for snippet in snippets:
        run_snippet(snippet, directory=place)


def test_the_commands_of_the_multitask_page_train_and_draw(place: Path) -> None:
    shown = [
        run_snippet(snippet, directory=place)
        for snippet in read_snippets(DOCS_DIR / "multitask.md")
        if snippet.language == "console"
    ]
    assert len(shown) == 2
    assert "mean_error" in shown[1] or "mean error" in shown[1]


def test_the_template_of_the_multitask_page_is_one(place: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (DOCS_DIR / "multitask.md").read_text(), re.DOTALL)
    (place / "templates" / "surgery.yaml").write_text(text)
    command = "hpcexp launch templates/surgery.yaml --dry-run"
    assert "4 groups x" in run_snippet(Snippet("console", command), directory=place)


def test_every_template_of_the_multitask_page_is_there() -> None:
    table = (DOCS_DIR / "multitask.md").read_text().split("## Templates")[1]
    named = set(re.findall(r"`(\w+)`", table))
    there = {p.stem for p in (PROJECT_DIR / "templates" / "multitask").glob("*.yaml")}
    assert named == there


def test_the_commands_of_the_report_page_write_what_the_page_says(place: Path) -> None:
    page = DOCS_DIR / "report.md"
    said = [run_snippet(snippet, directory=place) for snippet in read_snippets(page)]
    assert len(said) == 2
    (path,) = (place / "experiments").glob("*_quickstart/plots/report.html")
    headings = re.findall(r"<h2>(.*?)</h2>", path.read_text())
    assert headings[:2] == ["What the runs support", "Results"]
    assert (place / "quickstart.html").stat().st_size > 50_000


def test_the_code_of_the_python_page_runs(place: Path) -> None:
    said = run_snippet(Snippet("python", join_python("python-api.md")), directory=place)
    assert "6 runs in 6 jobs; launched before:" in said
    assert "1 runs, 1 done" in said
    assert "1 run more" in said
    assert "did you mean batch_size?" in said
