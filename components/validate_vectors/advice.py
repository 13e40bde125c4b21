"""What to know of each gate that fails, by its section of docs/runbook.md."""

from components.expectations.gate import Advice, by_anchor

ADVICE = by_anchor(
    (
        Advice(
            "vector-table-types",
            "vectors of another width: data/embeddings and models/exported come from different runs.",
            "Run `dvc repro -f embed`, and look at components/schema.py if it stays.",
        ),
        Advice(
            "vector-coverage",
            "data/embeddings and data/listings taken from different runs.",
            "Run `dvc repro -f embed`: it embeds every listing once, so these files do not belong together.",
        ),
        Advice(
            "foreign-vectors",
            "vectors kept from an earlier model, or files of two runs in one folder.",
            "Run `dvc repro -f embed`. Never serve them: distances between two vector spaces mean nothing.",
        ),
        Advice(
            "broken-vectors",
            "weights that are not finite, from training with too high a learning rate or in a precision too narrow.",
            "Look at the loss in reports/plots/finetune.csv; lower finetune.train.learning_rate, or set its precision to fp32.",
        ),
        Advice(
            "collapsed-vectors",
            "a training that collapsed: every picture gets nearly one vector, so neighbours are chosen by chance.",
            "Look at val_ndcg_at_5 in reports/plots/finetune.csv; lower the learning rates, or start from the last good encoder.",
        ),
        Advice(
            "identical-vectors",
            "pictures that became one on the way, such as blank ones after a decoder failed, or a batch written over another.",
            "Open the pictures of the items named here; if they differ, run `dvc repro -f embed` with embed.batch_size 1 and compare.",
        ),
        Advice(
            "flat-scores",
            "a score head that learnt nothing, or a calibrator fitted on too few anchors.",
            "Look at val_opa in reports/plots/score.csv and at the labels' health in reports/label.json.",
        ),
    )
)
