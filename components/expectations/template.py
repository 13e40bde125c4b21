"""The page's template. It lies in a module, not in a file of its own, because stages depend on the modules they import."""

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ story.title }}</title>
<style>
:root { --ink: #1d2429; --soft: #66727c; --line: #dfe4e8; --panel: #fff; --ground: #f4f6f7; --ours: #2458c5; --good: #14804a;
  --bad: #c0352b; --wait: #9a6a00; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, "Noto Sans", "Noto Sans CJK JP", "Hiragino Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 25px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 38px 0 8px; } h3 { font-size: 15px; margin: 20px 0 6px; }
p { margin: 4px 0 10px; max-width: 100ch; } .soft { color: var(--soft); } code { font-size: 13px; overflow-wrap: anywhere; }
section.panel { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 16px 18px; margin: 10px 0 16px;
  overflow-x: auto; } section.panel > :first-child { margin-top: 0; }
.badge { display: inline-block; padding: 3px 11px; border-radius: 999px; color: #fff; font-weight: 600; font-size: 14px; }
.badge.yes { background: var(--good); } .badge.no { background: var(--bad); }
dl.counts { display: flex; flex-wrap: wrap; gap: 8px 30px; margin: 0; } dl.counts div { min-width: 90px; }
dl.counts dt { color: var(--soft); font-size: 12.5px; } dl.counts dd { margin: 0; font-size: 18px; font-weight: 600; }
ol.next { padding-left: 22px; margin: 0; } ol.next li { margin-bottom: 14px; } ol.next li:last-child { margin: 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; table-layout: fixed; min-width: 760px; }
th, td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
th.wide { width: 44%; } th.drawn { width: 222px; }
th { color: var(--soft); font-weight: 500; font-size: 13px; } tr:last-child td { border-bottom: 0; }
td.num { white-space: nowrap; } td small { display: block; color: var(--soft); font-size: 12.5px; line-height: 1.3; }
.passed { color: var(--good); } .failed { color: var(--bad); } .not { color: var(--wait); }
td.verdict { font-weight: 600; white-space: nowrap; }
svg.gauge, svg.spark { display: block; } svg.gauge .all { stroke: var(--line); stroke-width: 2; }
svg.gauge .allowed { stroke: currentColor; stroke-width: 6; opacity: .28; } svg.gauge circle { fill: currentColor; }
svg.spark .band { fill: currentColor; opacity: .13; } svg.spark polyline { fill: none; stroke: var(--soft); stroke-width: 1.4; }
svg.spark circle { fill: currentColor; }
.charts { display: flex; flex-wrap: wrap; gap: 14px 40px; } .charts figure { margin: 0; min-width: 0; }
svg.chart { max-width: 100%; height: auto; }
svg.chart text { font-size: 12px; fill: var(--soft); } svg.chart .bar { fill: var(--ours); opacity: .8; }
svg.chart .past { stroke: var(--ink); stroke-width: 1.6; } figcaption { font-size: 13.5px; margin-bottom: 6px; font-weight: 600; }
</style>
</head>
<body>
<main>
<h1>{{ story.title }}
<span class="badge {{ 'no' if failed else 'yes' }}">{{ "%d of %d gates failed" % (failed | length, story.findings | length) if failed
else "passed" }}</span></h1>
<p class="soft">{{ story.about }}{% if num_unchecked %} {{ num_unchecked }} of {{ story.findings | length }} gates were not checked and
decide nothing; each says why.{% endif %}</p>
{% if story.facts %}
<section class="panel"><dl class="counts">
{% for name, value in story.facts.items() %}<div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>
{% endfor %}
</dl></section>
{% endif %}

<h2>What to do next</h2>
<section class="panel">
{% if failed %}
<ol class="next">
{% for finding in failed %}
<li><b class="failed">{{ finding.name }}</b>: {{ finding.gate.measure }}: <b>{{ finding.observed | number }}</b>, limit {{ finding.limit }}.
{% if finding.observed is none %}<br>Not to be computed: {{ finding.problem }}.{% endif %}
{% if finding.first %}<br>First: {% for name in finding.first %}<code>{{ name }}</code>{{ ", " if not loop.last }}{% endfor %}{% endif %}
<br>Usual cause: {{ finding.gate.advice.cause }}<br>{{ finding.gate.advice.next_step }}
<br><span class="soft">{{ finding.link }}</span></li>
{% endfor %}
</ol>
<p class="soft" style="margin-top:14px">Five whole rows of each: <code>vitrine validate --explain</code>. After mending the source:
<code>dvc repro</code>. A limit is a knob under <code>{{ story.stage }}</code> in params.yaml; change one only when you know why the data
moved.</p>
{% else %}
<p>Nothing: every gate that decides has passed.</p>
{% endif %}
</section>

<h2>Gates</h2>
{% for table, findings in by_table.items() %}
<section class="panel">
<h3>{{ table }}</h3>
<table>
<tr><th class="wide">gate</th><th>observed</th><th class="drawn"></th><th>limit</th><th>verdict</th></tr>
{% for finding in findings %}
{% set said = finding | verdict %}
<tr><td>{{ finding.gate.name }}<small>{{ finding.gate.measure }}{% if not finding.checked %} &middot;
{{ finding.gate.unchecked }}{% endif %}</small></td>
<td class="num">{{ finding.observed | number }}</td>
<td class="{{ said.split()[0] }}">{{ finding | gauge }}</td>
<td class="num">{{ finding.limit }}</td>
<td class="verdict {{ said.split()[0] }}">{{ said }}</td></tr>
{% endfor %}
</table>
</section>
{% endfor %}

{% if story.trends or story.trends_note %}
<h2>Beside the past</h2>
<p class="soft">{{ story.trends_note }}</p>
{% for trend in story.trends if trend.bands %}
<section class="panel">
<h3>{{ trend.title }}</h3>
<table>
<tr><th class="wide">number</th><th>now</th><th class="drawn">past snapshots, then now</th>
<th>{{ "learnt band" if trend.decides }}</th></tr>
{% for band in trend.bands %}
<tr><td>{{ band.name }}</td><td class="num">{{ band.observed | number }}</td>
<td class="{{ '' if not trend.decides else 'failed' if band.deviation | abs > 1 else 'passed' }}">{{ band | spark }}</td>
<td class="num">{% if trend.decides %}{{ "at most" if band.low is none else band.low | number + " to" }} {{ band.high | number }}{% endif %}
</td></tr>
{% endfor %}
</table>
</section>
{% endfor %}
{% endif %}

{% if story.charts %}
<h2>What is in it</h2>
<section class="panel"><div class="charts">
{% for title, chart in story.charts.items() %}<figure><figcaption>{{ title }}</figcaption>{{ chart }}</figure>
{% endfor %}
</div></section>
{% endif %}

{% if story.refused %}
<h2>Quarantine</h2>
<section class="panel">
<table>
<tr><th>table</th><th class="wide">reason</th><th>rows</th><th>share of what came in</th></tr>
{% for one in story.refused %}
<tr><td>{{ one.table }}</td><td><code>{{ one.reason }}</code></td><td class="num">{{ "{:,}".format(one.num_rows) }}</td>
<td class="num">{{ "–" if one.share is none else "%.2f %%" % (100 * one.share) }}</td></tr>
{% endfor %}
</table>
<p class="soft" style="margin-top:10px">docs/quarantine.md says what each reason means; data/quarantine/ holds the rows.</p>
</section>
{% endif %}
</main>
</body>
</html>
"""
