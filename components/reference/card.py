"""The bundle's model card."""

from collections.abc import Mapping
from typing import Any

import yaml

LIMITS = """\
- The encoder was measured on held-out sellers of this shop alone; other shops' photos were not tried.
- The Image Score repeats what its judge prefers. Photos made by image generators tend to score high (arXiv 2408.11349): watch them.
- Clicks marked as simulated say nothing about people.
"""


def model_card(facts: Mapping[str, Any], num_held_out: int) -> str:
    """Markdown that says what the bundle is, how it was judged, and where it should not be trusted."""
    params, serving = facts["params"], facts["serving"]
    judge, source = params["label"]["judge"], params["ingest"]["source"]
    verdict = "may be released" if facts["promote"] else "must not be released"
    reasons = "\n".join(f"- {reason}" for reason in facts["reasons"]) or "- none given"
    metrics = yaml.safe_dump(facts["metrics"], sort_keys=True, allow_unicode=True)
    return f"""# Vitrine bundle

Fingerprint `{facts["fingerprint"]}`: SigLIP from `{params["finetune"]["start"]}`, {serving["image_px"]} px,
{serving["dim"]} values a vector, {serving["precision"]}. The Image Score was taught by `{judge}`. Listings came from `{source}`.

## Verdict

This bundle {verdict}.

{reasons}

## Measured on {num_held_out} held-out items

```yaml
{metrics}```

## Limits

{LIMITS}"""
