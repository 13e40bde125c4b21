"""What to know of each gate that fails, by its section of docs/runbook.md."""

from components.expectations.gate import Advice, by_anchor

ADVICE = by_anchor(
    (
        Advice(
            "training-table-types",
            "a file written by another version of the code, or by hand.",
            "Run `dvc repro -f split pairs label`, and look at components/schema.py if it stays.",
        ),
        Advice(
            "split-coverage",
            "data/splits and data/listings taken from different runs.",
            "Run `dvc repro -f split`: it places every listing once, so these files do not belong together.",
        ),
        Advice(
            "leaking-groups",
            "an edit of components/split, or splits written by hand.",
            "Run `dvc repro -f split`; if it stays, metrics flatter the model: mend the split before any training.",
        ),
        Advice(
            "side-shares",
            "few large groups: one seller, product or picture that ties most of the catalogue together.",
            "Look at largest_group in reports/split.json, then at split.ties and split.phash_max_distance.",
        ),
        Advice(
            "pair-items",
            "data/pairs and data/splits taken from different runs.",
            "Run `dvc repro -f pairs`: it drops pairs across sides, so these files do not belong together.",
        ),
        Advice(
            "pair-values",
            "prices of the log in another unit than before, or an edit of components/pairs.",
            "Look at the pairs named here beside their impressions; run `dvc repro -f pairs` if those are sound.",
        ),
        Advice(
            "repeated-pairs",
            "pages that show one item twice, or a log read twice.",
            "Look at the pages named here in data/impressions and take the repeats out at the source.",
        ),
        Advice(
            "label-fields",
            "labels written by hand or by another version of the code; a judge whose answers are not checked.",
            "Run `dvc repro -f label`: answers already paid for are kept and not asked again.",
        ),
        Advice(
            "one-order-only",
            "labels put together from two runs, or rows taken out by hand.",
            "Run `dvc repro -f label`: it judges each pair in both orders, and asks only what is missing.",
        ),
        Advice(
            "judge-refuses",
            "a judge that gets pictures it cannot open, refuses to describe them, or answers in another form than it was asked for.",
            "Count `unusable` in reports/label.json by reason; try label.image_px, the model, or label.max_answer_tokens.",
        ),
        Advice(
            "judge-cannot-tell",
            "a judge too weak for the question, or pictures sent too small.",
            "Read some analyses of ties; raise label.image_px, lower label.tie_margin for the heuristic, or take a stronger model.",
        ),
        Advice(
            "judge-prefers-a-place",
            "a model with a liking for the first, or the last, picture it is shown.",
            "Take another model: contradictions between orders give no vote, so most of what was paid for is lost.",
        ),
        Advice(
            "judge-contradicts-itself",
            "a judge that guesses, or follows the order in which photos are shown.",
            "Try temperature 0, larger pictures or a stronger model; nothing trained on such labels can be better than they are.",
        ),
    )
)
