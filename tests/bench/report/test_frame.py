import pytest
from synthetic_rows import row, seeds, study

from bench.report.frame import cells, format_value, groups, load, slugify


def test_a_cell_is_all_rows_that_differ_only_in_the_seed():
    rows = [row(seed=2), row(seed=0), row(seed=1), row(seed=0, precision="float32")]
    found = cells(rows)
    assert sorted([r["spec"]["seed"] for r in cell.rows] for cell in found) == [[0], [0, 1, 2]]


@pytest.mark.parametrize(
    "change",
    [{"source": "user"}, {"budget": "standard"}, {"protocol": "locatello2019"}, {"fingerprint": "ab"}],
    ids=lambda change: next(iter(change)),
)
def test_sources_budgets_protocols_and_files_never_share_a_table(change):
    assert len(groups([row(), row(seed=1, **change)])) == 2


def test_methods_of_different_views_share_a_table():
    (group,) = groups([row(), row("betavae", view="pairs")])
    assert [cell.method for cell in group.cells] == ["betavae", "slowvae"]


def params(**values):
    return {"n_latents": 10, "n_steps": 1200, **values}


def test_a_label_names_only_what_differs_between_cells_of_the_method():
    rows = [row("betavae", method_params=params(beta=b)) for b in (16.0, 4.0)] + [row("slowvae")]
    (group,) = groups(rows)
    assert [group.cell_label(cell) for cell in group.cells] == ["betavae[beta=4]", "betavae[beta=16]", "slowvae"]


def test_a_label_names_what_differs_from_the_defaults_of_the_budget():
    def defaults(kind, name, budget):
        return {("method", "betavae", "quick"): params(beta=4.0)}.get((kind, name, budget), {})

    (group,) = groups([row("betavae", method_params=params(beta=8.0))], defaults)
    assert list(group.labels.values()) == ["betavae[beta=8]"]


def test_a_tuple_of_the_defaults_equals_the_list_json_made_of_it():
    (group,) = groups([row(method_params={"widths": [32, 64]})], lambda kind, name, budget: {"widths": (32, 64)})
    assert list(group.labels.values()) == ["slowvae"]


def test_a_label_names_the_precision_where_that_is_the_difference():
    (group,) = groups([row(precision="float32"), row(precision="bfloat16")])
    assert sorted(group.labels.values()) == ["slowvae[precision=bfloat16]", "slowvae[precision=float32]"]


def test_labels_stay_apart_where_no_parameter_tells_them_apart():
    (group,) = groups([row(schema=1), row(schema=2)])
    assert len(set(group.labels.values())) == 2


def test_a_data_set_is_labelled_by_what_tells_its_forms_apart():
    rows = [row(dataset_params={"form": form, "rate": 1}) for form in ("discrete", "continuous")]
    assert [g.label for g in groups(rows)] == ["natural_sprites[form=continuous]", "natural_sprites[form=discrete]"]


def test_how_the_source_was_asked_for_is_no_part_of_the_data_sets_label():
    (group,) = groups([row(dataset_params={"source": "generated"})], lambda *_: {"source": "auto"})
    assert group.label == "natural_sprites"


def test_sizes_owned_by_a_budget_do_not_enter_the_data_sets_label():
    rows = [row(dataset_params={"n": 10}), row(dataset_params={"n": 99}, budget="standard")]
    assert {g.label for g in groups(rows)} == {"natural_sprites"}


def test_reference_points_come_last_in_their_fixed_order():
    (group,) = groups(study())
    methods = [cell.method for cell in group.cells]
    assert methods == ["betavae", "betavae", "slowvae", "random_codes", "untrained", "pca", "ica", "oracle"]


def test_a_score_keeps_apart_what_is_missing_and_why():
    rows = seeds("slowvae", [0.5, (None, "factor 0 is constant"), 0.7])
    rows += [row(seed=3), row(seed=4, status="failed", reason="killed")]
    (cell,) = cells(rows)
    score = cell.score("mcc[spearman]")
    assert (score.seeds, score.values) == ((0, 2), (0.5, 0.7))
    assert score.missing == ((1, "factor 0 is constant"), (3, "not computed"))
    assert [r["spec"]["seed"] for r in cell.lost] == [4]


def test_scores_of_an_older_metric_version_are_not_averaged_with_newer_ones():
    rows = seeds("slowvae", [0.5, 0.6, 0.9])
    rows[2]["metrics"]["mcc[spearman]"]["version"] = 2
    score = cells(rows)[0].score("mcc[spearman]")
    assert score.values == (0.9,)
    assert score.missing[0] == (0, "scored with version 1 of the metric, others with 2")


def test_one_hash_counts_once():
    assert cells([row(), row()])[0].score("x").missing == ((0, "not computed"),)


def test_the_frame_has_a_line_per_row_and_metric_and_keeps_failed_rows():
    frame = load([*seeds("slowvae", [0.5, 0.7]), row(seed=2, status="failed", reason="killed")])
    assert frame[["seed", "metric", "status"]].astype(object).where(frame.metric.notna(), None).values.tolist() == [
        [0, "mcc[spearman]", "done"],
        [1, "mcc[spearman]", "done"],
        [None, None, None],
    ]
    assert frame["value"].mean() == pytest.approx(0.6)
    assert frame["seconds_training"].tolist() == [60.0, 61.0, 62.0]
    assert frame["cell"].nunique() == 1


def test_the_frame_of_no_rows_is_empty():
    assert len(load([])) == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [(8.0, "8"), (1e-4, "0.0001"), (True, "true"), ([1, 2], "[1, 2]"), ("lap", "lap"), (None, "null")],
)
def test_values_are_written_as_one_would_type_them(value, text):
    assert format_value(value) == text


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("a[b=1,c=x]-generated", "a-b=1-c=x-generated"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", "unnamed"),
        ("é|/\n", "unnamed"),
    ],
)
def test_a_slug_is_a_safe_file_name(text, slug):
    assert slugify(text) == slug
